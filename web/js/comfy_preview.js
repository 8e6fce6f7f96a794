// @ts-check
/** Asks the server for masks; see nodes/live_preview.py. */

/** @typedef {import("./types.d.ts").PreviewAnswer} PreviewAnswer */
/** @typedef {import("./types.d.ts").PreviewQuery} PreviewQuery */

const ROUTE = "/segment_anywhere/preview";
/** A server without the route is not asked again. */
let hasRoute = true;

/** Whether the server can be asked, as far as is known. */
export function hasPreviews() {
  return hasRoute;
}

/**
 * @param {any} api @param {PreviewQuery} query @param {AbortSignal} signal
 * @returns {Promise<PreviewAnswer>}
 */
export async function requestMask(api, query, signal) {
  if (!hasRoute) return { kind: "missing" };
  const answer = await api.fetchApi(ROUTE, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(query),
    signal,
  });
  if (answer.ok) {
    const [found, asked] = (answer.headers.get("Segment-Anywhere-Found") ?? "1/1").split("/").map(Number);
    const tried = Number(answer.headers.get("Segment-Anywhere-Tried") ?? asked);
    return { kind: "mask", blob: await answer.blob(), found, tried, asked };
  }
  // ComfyUI answers 405 for a route it does not have: its static files take GET only.
  if (answer.status === 404 || answer.status === 405) {
    hasRoute = false;
    return { kind: "missing" };
  }
  if (answer.status === 409) return { kind: "absent" };
  const message = (await answer.json().catch(() => null))?.error?.message;
  return message ? { kind: "refused", message } : { kind: "failed" };
}
