// The page's side of a view: puts fragments where they belong, and sends what people do to the kernel.
// Python renders every fragment; here nothing is worded but what only the page can know.

const KEPT = 1000; // lines of output, as many as the kernel keeps
const AT_ONCE = 200; // lines that are laid out in one go: a thousand would hold the page up for a tenth of a second
const PATIENCE = 2500; // milliseconds until a click that nobody confirmed is said to be waiting
const HERE = 30000; // milliseconds between two signs of life, without which the kernel forgets this page
const KNOCKS = [150, 300, 600, 1200, 2500, 5000, 10000]; // milliseconds from one greeting to the next

const clock = (seconds) => {
  const s = Math.max(0, Math.floor(seconds));
  const [h, m, rest] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(rest)}` : `${m}:${two(rest)}`;
};

function fragment(html, inside) {
  const template = document.createElement("template");
  if (inside.namespaceURI === "http://www.w3.org/2000/svg") {
    template.innerHTML = `<svg>${html}</svg>`;
    return template.content.firstElementChild.firstElementChild;
  }
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

const divs = (lines) => lines.map((line) => `<div>${line || " "}</div>`).join("");

// What cannot be taken back is asked a second time, where the button is.
function arm(button) {
  const label = button.textContent;
  button.classList.add("hnb-sure");
  button.textContent = button.dataset.sure;
  setTimeout(() => {
    button.classList.remove("hnb-sure");
    if (!button.disabled) button.textContent = label;
  }, 4000);
}

// Keeps each named list of the page equal to the one that the kernel sent, touching only what differs.
class Lists {
  constructor(root) {
    this.root = root;
    this.items = {}; // list -> Map of key -> html
    this.nodes = {}; // list -> Map of key -> element
  }

  apply(lists) {
    for (const [name, items] of Object.entries(lists)) this.replace(name, new Map(items));
  }

  patch(changes) {
    for (const [name, { order, changed }] of Object.entries(changes)) {
      const before = this.items[name] ?? new Map();
      this.replace(name, new Map(order.map((key) => [key, changed[key] ?? before.get(key) ?? ""])));
    }
  }

  replace(name, wanted) {
    const place = this.root.querySelector(`[data-list="${name}"]`);
    this.items[name] = wanted;
    if (!place) return;
    const nodes = (this.nodes[name] ??= new Map());
    let lost = false;
    for (const [key, node] of nodes) {
      if (!wanted.has(key) || !place.contains(node)) {
        lost ||= node.contains(document.activeElement);
        node.remove();
        nodes.delete(key);
      }
    }
    let before = null;
    for (const [key, html] of wanted) {
      let node = nodes.get(key);
      if (!node || node.hnbHtml !== html) {
        const fresh = fragment(html, place);
        if (!fresh) continue;
        fresh.hnbHtml = html;
        if (node) this.swap(node, fresh);
        nodes.set(key, (node = fresh));
        this.nested(node);
      }
      const next = before ? before.nextSibling : place.firstChild;
      if (node !== next) place.insertBefore(node, next);
      before = node;
    }
    const section = place.closest("[data-section]");
    if (section) section.hidden = wanted.size === 0;
    if (lost) (place.querySelector("[data-focus]") ?? this.root).focus({ preventScroll: true });
  }

  // Whoever is on a control of the old element, or has unfolded something in it, stays there.
  swap(old, fresh) {
    const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("data-focus");
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    old.replaceWith(fresh);
    fresh.querySelectorAll("details").forEach((one, n) => {
      if (open[n] !== undefined) one.open = open[n];
    });
    const twin = (name) => [fresh, ...fresh.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === name);
    for (const was of old.querySelectorAll("[data-focus]")) {
      const now = twin(was.dataset.focus);
      if (!now) continue;
      if (was.classList.contains("hnb-sure")) arm(now);
      if (was.matches("textarea, [type=text]")) now.value = was.value;
      if (was.matches("[type=radio]")) now.checked = was.checked;
    }
    if (focused) twin(focused)?.focus({ preventScroll: true });
  }

  nested(node) {
    for (const place of node.querySelectorAll("[data-list]")) {
      const name = place.getAttribute("data-list");
      if (this.items[name]) {
        this.nodes[name] = new Map();
        this.replace(name, this.items[name]);
      }
    }
  }
}

// The end of a session's output: follows it, or stands still while somebody reads.
class Log {
  constructor(panel, ask) {
    this.panel = panel;
    this.ask = ask;
    this.box = panel.querySelector(".hnb-log");
    this.note = panel.querySelector(".hnb-log-note");
    this.title = panel.querySelector(".hnb-log-title"); // of a board only: a session says its name above
    this.field = panel.querySelector(".hnb-find input");
    this.hits = panel.querySelector(".hnb-find output");
    this.button = panel.querySelector("[data-do=follow]");
    this.session = null;
    this.following = true;
    this.live = true;
    this.missed = 0;
    this.first = 0;
    this.total = 0;
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.button.addEventListener("click", () => this.follow(!this.following));
    panel.querySelector("[data-do=copy]").addEventListener("click", (event) => this.copy(event.target));
    panel.querySelector("[data-do=find]").addEventListener("click", () => this.toggleFind());
    this.field.addEventListener("input", () => this.find(0));
    this.field.addEventListener("keydown", (event) => this.findKey(event));
  }

  show(piece) {
    this.panel.hidden = false;
    if (piece.session !== this.session) {
      if (!piece.reset && piece.first !== 0) {
        this.ask({ do: "output" }); // another page has had the lines before these
        return;
      }
      this.session = piece.session;
      this.following = true;
      piece.reset = true;
    }
    if (this.title) this.title.textContent = piece.title;
    this.live = piece.live;
    this.panel.querySelector(".hnb-input").hidden = !piece.live;
    if (this.following || piece.reset === "asked") this.put(piece);
    else {
      this.missed = piece.total - this.total;
      this.stale = true; // the last line may have gone on
    }
    this.say();
  }

  put(piece) {
    if (!piece.reset && (piece.first < this.first || piece.first > this.first + this.box.children.length)) {
      this.ask({ do: "output" }); // another page has had what lies between
      return;
    }
    if (piece.reset) {
      this.box.replaceChildren();
      this.above = piece.lines.slice(0, -AT_ONCE);
      this.first = piece.first + this.above.length;
      piece = { ...piece, first: this.first, lines: piece.lines.slice(-AT_ONCE) };
      clearTimeout(this.filling);
      this.filling = setTimeout(() => this.fill(), 20);
    }
    while (this.box.children.length > piece.first - this.first) this.box.lastChild.remove();
    this.box.insertAdjacentHTML("beforeend", divs(piece.lines));
    for (; this.box.children.length > KEPT; this.first++) this.box.firstChild.remove();
    this.total = piece.total;
    this.missed = 0;
    this.stale = false;
    if (this.following) this.toEnd();
    if (this.field.value) this.find(null);
  }

  // The last lines are there at once; those above them follow bit by bit, and whoever reads stays where they are.
  fill() {
    const lines = this.above.splice(-AT_ONCE);
    if (!lines.length || this.box.children.length + lines.length > KEPT) return;
    const below = this.box.scrollHeight - this.box.scrollTop;
    this.box.insertAdjacentHTML("afterbegin", divs(lines));
    this.first -= lines.length;
    if (this.following) this.toEnd();
    else this.box.scrollTop = this.box.scrollHeight - below;
    if (this.field.value) this.find(null);
    this.filling = setTimeout(() => this.fill(), 20);
  }

  toEnd() {
    const before = this.box.scrollTop;
    this.box.scrollTop = this.box.scrollHeight;
    if (this.box.scrollTop !== before) this.placed = true; // else no event follows, and the next is a person's
  }

  scrolled() {
    if (this.placed) {
      this.placed = false;
      return;
    }
    const atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 8;
    if (this.following && !atEnd) this.follow(false);
    else if (!this.following && atEnd && !this.missed) this.follow(true);
  }

  follow(yes) {
    this.following = yes;
    if (yes) {
      if (this.stale) this.ask({ do: "output" });
      this.toEnd();
    } else if (this.live) this.ask({ do: "stay" }); // who reads keeps this session, whatever else begins
    this.say();
  }

  say() {
    const lines = `${this.total.toLocaleString("en")} line${this.total === 1 ? "" : "s"}`;
    const state = !this.live ? "ended" : this.following ? "following" : "paused";
    const more = this.missed > 0 ? ` · ${this.missed.toLocaleString("en")} more below` : "";
    this.note.textContent = `${state} · ${lines}${more}`;
    this.button.textContent = this.following ? "Pause" : "Follow";
    this.button.hidden = !this.live && this.following;
  }

  toggleFind() {
    const bar = this.panel.querySelector(".hnb-find");
    bar.hidden = !bar.hidden;
    if (bar.hidden) {
      this.field.value = "";
      this.find(null);
    } else this.field.focus();
  }

  findKey(event) {
    event.stopPropagation();
    if (event.key === "Enter") {
      event.preventDefault();
      this.find(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") this.toggleFind();
  }

  // step: 0 begins at the last hit, 1 and -1 go on from the present one, null only marks
  find(step) {
    const wanted = this.field.value.toLowerCase();
    const found = [];
    for (const line of this.box.children) {
      const hit = wanted !== "" && line.textContent.toLowerCase().includes(wanted);
      line.classList.toggle("hnb-hit", hit);
      if (hit) found.push(line);
      else line.classList.remove("hnb-here");
    }
    if (!wanted) {
      this.hits.textContent = "";
      return;
    }
    let at = found.findIndex((line) => line.classList.contains("hnb-here"));
    if (step !== null && found.length) {
      const next = step === 0 || at < 0 ? found.length - 1 : (at + step + found.length) % found.length;
      found[at]?.classList.remove("hnb-here");
      at = next;
      found[at].classList.add("hnb-here");
      this.following = false;
      this.box.scrollTop = found[at].offsetTop - this.box.clientHeight / 2;
      this.say();
    }
    this.hits.textContent = found.length ? `${at >= 0 ? at + 1 : found.length} of ${found.length}` : "not in these lines";
  }

  async copy(button) {
    const text = [...this.box.children].map((line) => line.textContent).join("\n");
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed here";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
}

class Page {
  constructor(model, el) {
    this.model = model;
    this.id = Math.random().toString(36).slice(2);
    this.skew = 0;
    this.count = 0;
    this.sent = new Map(); // number of an order -> what to do when it is told
    this.knocks = new Set(); // numbers of the greetings
    this.waiting = []; // orders until the kernel has greeted back
    el.classList.add("hnb-live");
    el.innerHTML = model.get("frame");
    this.root = el.firstElementChild;
    this.root.tabIndex = -1; // where the focus goes when what had it is done
    this.lists = new Lists(this.root);
    this.log = this.root.querySelector(".hnb-output") && new Log(this.root.querySelector(".hnb-output"), (o) => this.order(o));
    this.lists.apply(model.get("lists"));
    this.hideSaved(this.root.getAttribute("data-of"));
    this.on = (message) => this.told(message);
    model.on("msg:custom", this.on);
    this.left = () => this.leave();
    model.on("comm_live_update", this.left);
    document.addEventListener("hnb-gone", this.left); // a page of its own says so when its server has gone
    for (const kind of ["click", "submit", "keydown", "input"]) {
      this.root.addEventListener(kind, (event) => this[kind](event));
    }
    this.timer = setInterval(() => this.tick(), 1000);
    this.sign = setInterval(() => this.order({ do: "here" }), HERE);
    this.tick();
    this.knock();
  }

  // What is sent before JupyterLab has found a way past a running cell waits behind that cell: so the page greets until
  // it is heard, and sends all else after that.
  knock() {
    const number = ++this.count;
    this.knocks.add(number);
    this.model.send({ do: "hello", page: this.id, number });
    const pause = KNOCKS[this.knocks.size - 1];
    if (pause) this.again = setTimeout(() => this.knock(), pause);
  }

  heard() {
    clearTimeout(this.again);
    const waiting = this.waiting;
    this.waiting = null;
    for (const content of waiting) this.model.send(content);
  }

  // What was saved for readers without a kernel is behind this view in the cell; one of both is enough.
  hideSaved(of) {
    this.style = document.createElement("style");
    this.style.textContent =
      `[data-saved="${of}"]{display:none!important}` +
      `.jp-OutputArea-child:has([data-saved="${of}"]){display:none!important}`;
    document.head.append(this.style);
  }

  remove() {
    clearInterval(this.timer);
    clearInterval(this.sign);
    this.model.off("msg:custom", this.on);
    this.model.off("comm_live_update", this.left);
    document.removeEventListener("hnb-gone", this.left);
    clearTimeout(this.again);
    this.style.remove();
    this.model.send({ do: "bye", page: this.id });
  }

  order(content, told) {
    const number = ++this.count;
    if (told) this.sent.set(number, told);
    const whole = { ...content, page: this.id, number };
    if (this.waiting) this.waiting.push(whole);
    else this.model.send(whole);
  }

  // The kernel was restarted or has gone: what stands here is old, and no click arrives.
  leave() {
    this.gone = true;
    this.root.querySelector(".hnb-head-told").textContent =
      document.body.dataset.hnbGone ?? // a page of its own has no cell
      "The kernel of this view has gone, so this stands still; what runs goes on. Run the cell again to see it live.";
    for (const one of this.root.querySelectorAll("button, form *")) one.disabled = true;
    for (const form of this.root.querySelectorAll("form[data-sending]")) {
      this.late(form, "The connection was lost before anybody confirmed this. To answer in any case, run in a shell:");
    }
  }

  // It was only a moment without a connection.
  back() {
    this.gone = false;
    this.root.querySelector(".hnb-head-told").textContent = "";
    for (const one of this.root.querySelectorAll("button, form *")) one.disabled = false;
  }

  told(message) {
    if (this.gone) this.back();
    if (message.to && message.to !== this.id) return;
    if (this.knocks.has(message.number)) {
      if (!this.waiting) return; // a later greeting was heard before
      this.heard();
    }
    if (message.now) this.skew = Date.parse(message.now) - Date.now();
    if (message.lists) this.lists.apply(message.lists);
    if (message.patch) this.lists.patch(message.patch);
    if (message.output && this.log) this.log.show(message.output);
    if (message.selected !== undefined) this.mark(message.selected);
    if (message.number && this.sent.has(message.number)) {
      this.sent.get(message.number)(message);
      this.sent.delete(message.number);
    }
    if (message.lists || message.patch) {
      this.announce();
      this.mark(this.selected);
      this.tick();
    }
  }

  // Who cannot see the board is told that something waits, once each time that it changes.
  announce() {
    const text = this.root.querySelector('[data-list="cards"] > h2')?.textContent ?? "";
    const place = this.root.querySelector(".hnb-announced");
    if (place.textContent !== text) place.textContent = text;
  }

  mark(session) {
    this.selected = session;
    for (const row of this.root.querySelectorAll("tr[data-session]")) {
      row.classList.toggle("hnb-selected", row.getAttribute("data-session") === session);
    }
  }

  tick() {
    if (this.gone) return;
    const now = Date.now() + this.skew;
    for (const one of this.root.querySelectorAll("time[data-since]")) {
      one.textContent = clock((now - Date.parse(one.getAttribute("data-since"))) / 1000);
    }
    for (const one of this.root.querySelectorAll("time[data-until]")) {
      one.textContent = clock((Date.parse(one.getAttribute("data-until")) - now) / 1000);
    }
  }

  click(event) {
    if (this.gone) return;
    const row = event.target.closest("[data-session], .hnb-node[data-key]");
    if (row) {
      this.order({ do: "select", session: row.dataset.session ?? null, plan: row.dataset.key ?? null }, (answer) => this.say(answer.text));
    }
    const button = event.target.closest("button[data-order]");
    if (button) this.press(button);
  }

  keydown(event) {
    if (event.target.closest("input, textarea, button, select, [role=button], summary")) event.stopPropagation(); // Jupyter's keys
    if (event.key !== "Enter" && event.key !== " ") return;
    const node = event.target.closest(".hnb-node[data-key]");
    if (node) {
      event.preventDefault();
      node.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    }
  }

  input(event) {
    const form = event.target.closest("form");
    if (form) form.querySelector(".hnb-told")?.replaceChildren();
  }

  press(button) {
    if (button.dataset.sure && !button.classList.contains("hnb-sure")) {
      arm(button);
      return;
    }
    button.disabled = true;
    this.order({ do: button.getAttribute("data-order"), session: button.getAttribute("data-for") }, (answer) => {
      this.say(answer.ok ? "" : answer.text);
      button.disabled = false;
    });
  }

  say(text) {
    this.root.querySelector(".hnb-head-told").textContent = text;
  }

  submit(event) {
    event.preventDefault();
    const form = event.target;
    if (form.classList.contains("hnb-input")) this.type(form);
    else this.answer(form, event.submitter);
  }

  type(form) {
    const field = form.querySelector("input");
    const text = field.value;
    field.value = "";
    this.order({ do: "input", session: this.log.session, text: text + "\n" }, (answer) => {
      form.querySelector(".hnb-told").textContent = answer.ok ? "" : answer.text;
      if (!answer.ok) field.value = text;
    });
    this.log.follow(true);
  }

  answer(form, button) {
    const data = new FormData(form);
    const verb = button?.value ?? "approve";
    const notes = (data.get("notes") ?? "").trim();
    const told = form.querySelector(".hnb-told");
    if (button?.dataset.wants === "notes" && !notes) {
      form.querySelector("details.hnb-more")?.setAttribute("open", "");
      const field = form.querySelector("[name=notes]");
      told.textContent = button.dataset.wantsText;
      field?.focus();
      return;
    }
    const option = data.get("option");
    if (verb === "option" && !option) {
      told.textContent = "Choose one first.";
      return;
    }
    this.busy(form, true);
    form.dataset.sending = "";
    told.textContent = "Sending…";
    const late = setTimeout(() => {
      const busy = "The kernel is busy and has not taken this yet; it will when its cell ends. To answer now, run in a shell:";
      if (!this.gone) this.late(form, document.body.dataset.hnbLate ?? busy);
    }, PATIENCE);
    this.order({ do: "answer", seq: Number(form.dataset.seq), verb, option, notes }, (answer) => {
      clearTimeout(late);
      delete form.dataset.sending;
      told.textContent = answer.text;
      if (answer.overtaken) this.say(answer.text); // the card goes with the answer of the other
      this.busy(form, answer.ok);
    });
  }

  late(form, text) {
    form.querySelector(".hnb-told").textContent = text;
    form.parentElement.querySelector(".hnb-shell")?.removeAttribute("hidden");
  }

  busy(form, yes) {
    for (const one of form.elements) one.disabled = yes;
  }
}

function render({ model, el }) {
  const page = new Page(model, el);
  return () => page.remove();
}

export default { render };
