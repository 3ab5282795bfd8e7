/* Runs in the browser when the page is opened: what keyboards and screen readers miss in Gradio. */
() => {
  // A screen reader reads out what stands below a picture, which Gradio calls "Thumbnail 1 of 4".
  let named = 0;
  const name = () => {
    for (const caption of document.querySelectorAll(".thumbnail-item > .caption-label")) {
      caption.id ||= `caption-${++named}`;
      caption.parentElement.setAttribute("aria-labelledby", caption.id);
    }
    for (const group of document.querySelectorAll("fieldset")) {
      const title = group.querySelector("[data-testid=block-info]");
      if (title) group.setAttribute("aria-label", title.textContent.trim());
    }
    for (const place of document.querySelectorAll("button[aria-dropeffect]")) {
      const title = place.closest(".block")?.querySelector("[data-testid=block-label]");
      const said = place.textContent.replace(/\s+/g, " ").trim();
      if (title) place.setAttribute("aria-label", `${title.textContent.trim()}. ${said}`);
    }
    // A name counts for nothing on what has no role.
    for (const part of document.querySelectorAll("div[aria-label]:not([role])")) {
      part.setAttribute("role", "group");
    }
    for (const button of document.querySelectorAll("button.label-wrap")) {
      button.setAttribute("aria-expanded", button.classList.contains("open"));
      button.querySelector(".icon")?.setAttribute("aria-hidden", true);
    }
  };
  const changes = { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] };
  new MutationObserver(name).observe(document.body, changes);
  name();

  // The key that leaves a list of choices would open it again behind the keyboard's back.
  const leave = (event) => {
    if (event.key === "Tab" && event.target.role === "combobox") event.stopPropagation();
  };
  window.addEventListener("keydown", leave, true);

  // A file that is dropped beside the place for it would be shown instead of the page.
  const beside = (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "none";
  };
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, beside);

  // Gradio loads the page again when a lost connection is back: what was dropped may be lost then.
  const interrupted = () => {
    const idle = document.querySelector("#drop [data-testid=upload-text]");
    if (!window.pseudowordDataSet) return;
    if (idle && !document.querySelector("#teach-start:disabled")) return;
    sessionStorage.setItem("pseudoword-interrupted", "pictures");
  };
  window.addEventListener("pagehide", interrupted);

  // What is typed while the connection is lost is told to no event (typed.py).
  const late = (event) => {
    const id = event.target.closest?.(".block[id]")?.id;
    if (!id || !event.target.matches("textarea, input:is([type=text], [type=number])")) return;
    const typed = JSON.parse(sessionStorage.getItem("pseudoword-late") ?? "{}");
    typed[id] = event.target.value;
    sessionStorage.setItem("pseudoword-late", JSON.stringify(typed));
  };
  window.addEventListener("input", late, true);
}
