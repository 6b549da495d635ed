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

  const say = (text, button = false) => {
    notice.hidden = false;
    notice.querySelector("span").textContent = text;
    notice.querySelector("button").hidden = !button;
    state.textContent = "Not connected";
    state.dataset.is = "away";
  };
  const typed = () => [...board.querySelectorAll("textarea, input[type=text]")].some((one) => one.value.trim());
  const reload = () => {
    if (typed()) say("The connection is back. Reload this page to go on; copy first what you have typed.", true);
    else location.reload();
  };
  const seek = () => {
    const socket = new WebSocket(address);
    let heard = false;
    socket.onopen = () => {
      heard = true;
      socket.close();
      reload();
    };
    socket.onclose = (event) => {
      if (event.code === 4404) reload();
      else if (!heard) setTimeout(seek, AGAIN);
    };
  };
  const socket = new WebSocket(address);
  socket.onclose = (event) => {
    if (leaving) return;
    if (event.code === 4404) return reload(); // the kernel has ended; another one comes with another visit
    say("The dashboard has stopped, so this stands still; what runs goes on. Start harness-nb dashboard again: this page comes back by itself.");
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
    if (state.dataset.is !== "away") {
      state.textContent = "Live";
      state.dataset.is = "live";
    }
    count();
  };
  new MutationObserver(look).observe(board, { childList: true, subtree: true, characterData: true });
})();
