// Light or dark as the system has it, unless this browser's reader chose one. Runs before the page is painted.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const next = { system: "light", light: "dark", dark: "system" };
  const words = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  let chosen = "system";
  try {
    chosen = localStorage.getItem("harness-nb-theme") ?? "system";
  } catch {
    // kept for this page only
  }
  if (!(chosen in next)) chosen = "system";
  const paint = () => {
    const dark = chosen === "dark" || (chosen === "system" && system.matches);
    document.body.dataset.jpThemeLight = String(!dark);
    document.querySelector(".page-theme").textContent = words[chosen];
  };
  system.addEventListener("change", paint);
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".page-theme")) return;
    chosen = next[chosen];
    try {
      localStorage.setItem("harness-nb-theme", chosen);
    } catch {
      // kept for this page only
    }
    paint();
  });
  paint();
})();
