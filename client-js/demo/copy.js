// A button that copies a text, or selects it where the clipboard is not to be had.

export function copies(button, from) {
  button.addEventListener("click", async () => {
    button.textContent = await copy(from);
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}

async function copy(from) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    return "Copied";
  } catch {
    getSelection().selectAllChildren(from);
    return "Selected";
  }
}
