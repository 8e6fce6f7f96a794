// @ts-check
/**
 * Put a field in the place of a button, while one writes what the button is called.
 * @param {string} label of the field @param {string} name as it is
 * @param {(name: string) => void} keep @param {HTMLElement} button that comes back
 */
export function askForName(label, name, keep, button) {
  const field = document.createElement("input");
  field.type = "text";
  field.className = "sa-name";
  field.value = name;
  field.setAttribute("aria-label", label);
  let isOver = false;
  const end = (/** @type {boolean} */ isKept, hasFocus = false) => {
    if (isOver) return;
    isOver = true;
    field.replaceWith(button);
    if (hasFocus) button.focus();
    if (isKept && field.value.trim() !== name) keep(field.value);
  };
  field.addEventListener("keydown", (event) => {
    // No key is the graph's, or the window's, while one writes.
    event.stopPropagation();
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      end(event.key === "Enter", true);
    }
  });
  field.addEventListener("blur", () => end(true));
  button.replaceWith(field);
  // At once: what is written before would be the graph's keys, or be written over.
  field.focus();
  field.select();
}
