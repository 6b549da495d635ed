// Runs in the page before everything else: notes what a person at this page would notice, and costs next to nothing.
(() => {
  const now = () => performance.timeOrigin + performance.now(); // milliseconds of the machine's own clock
  const notes = { lines: {}, clicks: [], frames: [], blocks: [], gaps: [] };

  // A line carries when it was printed: "@1764… @". It is noted in the task after the frame that painted it.
  const MARK = /@(\d{19})@/g;
  function watch(element) {
    const look = () => {
      for (const [, printed] of element.textContent.matchAll(MARK)) {
        if (printed in notes.lines) continue;
        notes.lines[printed] = null;
        requestAnimationFrame(() => setTimeout(() => (notes.lines[printed] = now())));
      }
    };
    new MutationObserver(look).observe(element, { childList: true, subtree: true, characterData: true });
    look();
  }

  addEventListener("click", (event) => notes.clicks.push(performance.timeOrigin + event.timeStamp), true);

  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) notes.blocks.push([performance.timeOrigin + one.startTime, one.duration]);
  }).observe({ type: "longtask" });

  let last = now();
  const frame = () => {
    const present = now();
    if (present - last > 20) notes.gaps.push([last, present - last]);
    last = present;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);

  const Original = window.WebSocket;
  window.WebSocket = class extends Original {
    constructor(...values) {
      super(...values);
      const size = (data) => data.byteLength ?? data.size ?? new TextEncoder().encode(data).length;
      this.addEventListener("message", ({ data }) => notes.frames.push([now(), size(data)]));
    }
  };

  window.benchmark = { notes, watch, now };
})();
