// @ts-check
/** Runs a part of a graph for an editor, and tells how far it is. */

/** @typedef {import("./types.d.ts").Progress} Progress */

/** What ends a run, however it ends. */
const ENDS = ["execution_success", "execution_error", "execution_interrupted"];

export class PartRun {
  /** The run's id, "" before the server has given one, null where nothing is under way.
   * @type {string | null} */
  #id = null;
  /** What the nodes are called, by their ids. @type {Map<string, string>} */
  #titles = new Map();
  /** What is heard of runs before the server has told the id of this one.
   * @type {{ id: string, take: () => void }[]} */
  #early = [];
  /** @type {[string, (event: any) => void][]} */
  #listeners;

  /**
   * @param {any} api @param {(progress: Progress | null) => void} onChange null where it is over
   * @param {(node: string, output: any) => void} onOutput what a node has left for the page
   */
  constructor(api, onChange, onOutput = () => {}) {
    this.api = api;
    this.onChange = onChange;
    const end = (/** @type {any} */ { detail }) => this.#hear(detail?.prompt_id, () => this.#end());
    this.#listeners = [
      ["progress_state", ({ detail }) => this.#hear(detail.prompt_id, () => this.#tell(detail.nodes))],
      ["executed", ({ detail }) => this.#hear(detail.prompt_id, () => onOutput(detail.node, detail.output))],
      // One that was taken out of the queue ends without a word of its own.
      ["status", ({ detail }) => detail?.exec_info?.queue_remaining === 0 && this.#id && this.#end()],
      ["reconnected", () => this.#end()],
      ...ENDS.map((name) => /** @type {[string, (event: any) => void]} */ ([name, end])),
    ];
    for (const [name, listener] of this.#listeners) api.addEventListener(name, listener);
  }

  get isUnderWay() {
    return this.#id !== null;
  }

  /**
   * Queues a prompt of which some nodes, outputs, and what they need are run. Throws what the server
   * says where it refuses it.
   * @param {() => Promise<{ output: Record<string, any>, workflow: unknown }>} make the prompt
   * @param {string[]} targets the nodes
   */
  async start(make, targets) {
    this.#id = "";
    this.onChange({ title: "", share: null });
    try {
      const prompt = await make();
      const titles = Object.entries(prompt.output).map(([id, node]) => [id, node._meta?.title ?? node.class_type]);
      this.#titles = new Map(/** @type {[string, string][]} */ (titles));
      const { prompt_id } = await this.api.queuePrompt(0, prompt, { partialExecutionTargets: targets });
      if (this.isUnderWay) this.#id = prompt_id;
      const early = this.#early.splice(0);
      for (const { id, take } of early) if (id === prompt_id) take();
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  dispose() {
    for (const [name, listener] of this.#listeners) this.api.removeEventListener(name, listener);
  }

  /** @param {string} id of a run that is told of @param {() => void} take it where it is this one */
  #hear(id, take) {
    if (this.#id === "") this.#early.push({ id, take });
    else if (this.#id === id) take();
  }

  /** @param {Record<string, { value: number, max: number, state: string }>} nodes */
  #tell(nodes) {
    const [id, node] = Object.entries(nodes).find(([, { state }]) => state === "running") ?? [];
    // A node of one step says nothing by it.
    const share = node && node.max > 1 ? node.value / node.max : null;
    this.onChange({ title: share === null ? "" : (this.#titles.get(id ?? "") ?? ""), share });
  }

  #end() {
    if (!this.isUnderWay) return;
    this.#id = null;
    this.#early.length = 0;
    this.onChange(null);
  }
}
