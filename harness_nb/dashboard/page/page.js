// What is around the board: whether the server is there, and in the title how much waits for an answer.
(() => {
  const AGAIN = 2000; // milliseconds between two tries to reach a server that has gone
  const board = document.getElementById("board");
  const project = board.dataset.project;
  const state = document.querySelector(".page-state");
  const notice = document.querySelector(".page-notice");
  const { baseUrl, kernelId } = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const address = new URL(`${baseUrl}harness/present/${kernelId}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  let leaving = false;
  let reloading = false;

  const say = (text, button = false) => {
    notice.hidden = false;
    notice.querySelector("span").textContent = text;
    notice.querySelector("button").hidden = !button;
    state.textContent = "Not connected";
    state.dataset.is = "away";
  };
  // What somebody has begun: text, a choice, or an answer of which nobody knows whether it has arrived.
  const begun = () =>
    board.querySelector("form[data-sending]") ||
    [...board.querySelectorAll("textarea, input[type=text]")].some((one) => one.value.trim()) ||
    [...board.querySelectorAll("input[type=radio]")].some((one) => one.checked !== one.defaultChecked);
  const reload = () => {
    if (reloading) return;
    reloading = true;
    if (begun()) say("The connection is back. Reload this page to go on: look then whether your last answer has arrived, and copy first what you have typed.", true);
    else location.reload();
  };
  const gone = (text) => {
    say(text);
    document.dispatchEvent(new Event("hnb-gone")); // the board takes no clicks until it is back
  };
  // Asked for by a plain request, whose status tells a server that is away from one that does not know this page.
  const seek = async (pause = AGAIN) => {
    let status = 0;
    try {
      status = (await fetch(`${baseUrl}harness/present`, { cache: "no-store" })).status;
    } catch {
      // nobody is there
    }
    if (status === 204) return reload();
    if (status === 403) {
      say("The dashboard was started with another token, so this page is not let in. Open the address that harness-nb dashboard has printed now.");
      pause = Math.min(2 * pause, 60000);
    }
    setTimeout(seek, pause, pause);
  };
  const socket = new WebSocket(address);
  socket.onmessage = (event) => {
    if (event.data === "gone") gone("The project's folder or its journal has gone, so this stands still. The page comes back by itself when it is there again.");
    else reload();
  };
  socket.onclose = (event) => {
    if (leaving || reloading) return;
    if (event.code === 4404) { // the kernel has ended; another one comes with another visit
      gone("The kernel of this page has ended.");
      return reload();
    }
    gone("The dashboard has stopped, so this stands still; what runs goes on. Start harness-nb dashboard again: this page comes back by itself.");
    setTimeout(seek, AGAIN);
  };
  addEventListener("pagehide", () => {
    leaving = true;
    if (socket.readyState === WebSocket.OPEN) socket.send("bye");
    socket.close();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // kept by the browser without its kernel
  });
  notice.querySelector("button").addEventListener("click", () => location.reload());

  const count = () => {
    const waiting = board.querySelector(".hnb-announced")?.textContent.trim();
    document.title = waiting ? `${waiting} · ${project}` : `${project} · harness-nb`;
  };
  const look = () => {
    if (!board.querySelector(".hnb-live, .page-output .hnb-card")) return;
    document.getElementById("loading")?.remove();
    if (!board.querySelector(".hnb-live")) {
      state.textContent = "Not shown";
      state.dataset.is = "away";
    } else if (state.dataset.is !== "away") {
      state.textContent = "Live";
      state.dataset.is = "live";
    }
    count();
  };
  new MutationObserver(look).observe(board, { childList: true, subtree: true, characterData: true });
})();
