/* Runs in the browser before Gradio, which does not start where a page may store nothing: in a frame
   on another site, or where cookies are blocked. The page remembers in memory then, until it goes. */
for (const name of ["localStorage", "sessionStorage"]) {
  try {
    window[name];
  } catch {
    const kept = new Map();
    const value = {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, text) => void kept.set(key, String(text)),
      removeItem: (key) => void kept.delete(key),
    };
    Object.defineProperty(window, name, { value });
  }
}
