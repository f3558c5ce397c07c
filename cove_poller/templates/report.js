
"use strict";
(async () => {
  if (!("DecompressionStream" in window)) return;
  const packed = Uint8Array.from(atob(document.getElementById("details").textContent), (one) => one.charCodeAt(0));
  const data = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  const [LAST_SESSION, LAST_SUCCESS, BUCKET, LAST_SEEN, FACTS, SOURCES, RUNS, PAGE] = [0, 1, 2, 3, 4, 5, 6, 7];
  const WORDS = { f: "failed", w: "warning", s: "success", r: "running", n: "no backup" };
  const CLASSES = { ...WORDS, n: "none" };
  const RANKS = [...document.querySelectorAll("[data-group=condition]")].map((tile) => tile.dataset.name);
  const DAY = 86400;

  /* Names only ever become text: nothing here reads HTML. */
  const make = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
  const draw = (name, attributes = {}, ...children) =>
    filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  const filled = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  /* A button around all that an element holds: without this script there is none. */
  const asButton = (element, attributes) => {
    const button = make("button", { type: "button", ...attributes }, ...element.childNodes);
    element.append(button);
    element.classList.add("live");
    return button;
  };
  const label = (source) => data.sources[source] ?? source;
  const time = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
  const day = (seconds) => time(seconds).slice(0, 10);
  /* The reader's own time stands beside UTC where it is another one. */
  const clock = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
  const zone = clock.resolvedOptions().timeZone;
  const local = (seconds) => {
    const text = seconds === null ? "" : clock.format(seconds * 1000);
    return text === "" || text === time(seconds) ? [] : [make("small", { class: "local" }, `${text} local`)];
  };
  const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const age = (seconds) => {
    const minutes = Math.max(Math.floor(seconds / 60), 0);
    if (minutes < 120) return counted(minutes, "minute");
    return minutes < 2880 ? counted(Math.floor(minutes / 60), "hour") : counted(Math.floor(minutes / 1440), "day");
  };

  /* A device: its row in the table and what is known beside it. */
  const body = document.getElementById("devices");
  const devices = [...(body ? body.rows : [])].map((row, place) => {
    const what = row.cells[1].querySelector("p");
    what?.remove();
    const [customer, name, type, condition] = [0, 1, 2, 3].map((column) => row.cells[column].textContent.trim());
    const known = data.devices[place];
    const rank = RANKS.indexOf(row.cells[3].classList[1]);
    asButton(row.cells[1], { "aria-expanded": "false" });
    row.cells[1].append(...(what ? [what] : []));
    [LAST_SESSION, LAST_SUCCESS].forEach((fact, column) => row.cells[4 + column].append(...local(known[fact])));
    return {
      row, place, known, more: null, condition: RANKS[rank], bucket: known[BUCKET],
      text: [customer, name, type, condition, what?.textContent ?? ""].join("\n").toLowerCase(),
      keys: [customer, name, type, rank, known[LAST_SESSION] ?? -1, known[LAST_SUCCESS] ?? -1],
    };
  });
  /* Where the sessions of each device begin in what is packed of all. */
  let begin = 0;
  for (const device of devices) {
    device.begin = begin;
    begin += Object.values(device.known[RUNS]).reduce((sum, count) => sum + count, 0);
  }
  const deviceOf = new Map(devices.map((device) => [device.row, device]));

  /* Filter: every word must occur, and the device be of one of the chosen conditions, and buckets. */
  const input = document.getElementById("filter");
  const reset = document.getElementById("reset");
  const chosen = { condition: new Set(), bucket: new Set() };
  const tiles = [...document.querySelectorAll(".tile")].map((tile) => {
    const { group, name } = tile.dataset;
    const button = asButton(tile, { "aria-pressed": "false" });
    button.addEventListener("click", () => {
      if (!chosen[group].delete(name)) chosen[group].add(name);
      filter();
    });
    return { group, name, button };
  });
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { condition, bucket } = chosen;
    let count = 0;
    for (const device of devices) {
      const fits = (!condition.size || condition.has(device.condition)) && (!bucket.size || bucket.has(device.bucket))
        && words.every((word) => device.text.includes(word));
      count += fits;
      if (device.row.hidden === fits) device.row.hidden = !fits;
      if (device.more) device.more.hidden = !fits;
    }
    for (const tile of tiles) tile.button.setAttribute("aria-pressed", chosen[tile.group].has(tile.name));
    document.getElementById("shown").textContent = `${count} of ${counted(devices.length, "device")}`;
    reset.hidden = !(words.length || condition.size || bucket.size);
  };
  input.addEventListener("input", filter);
  reset.addEventListener("click", () => {
    input.value = "";
    for (const names of Object.values(chosen)) names.clear();
    filter();
    input.focus();
  });

  /* Sort: what is equal stays in the order of the page, the worst first. */
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const compare = (one, other) => (typeof one === "number" ? one - other : order.compare(one, other));
  const heads = [...document.querySelectorAll(".box thead th")].slice(0, 6);
  heads.forEach((head, column) => asButton(head).addEventListener("click", () => {
    const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const sorted = [...devices].sort(
      (one, other) => sign * compare(one.keys[column], other.keys[column]) || one.place - other.place,
    );
    body.append(...sorted.flatMap((device) => (device.more ? [device.row, device.more] : [device.row])));
  }));

  /* Unfold a row: made when it is opened, gone when it is closed. */
  if (body) body.addEventListener("click", (event) => {
    const device = deviceOf.get(event.target.closest("#devices > tr"));
    if (!device || String(getSelection())) return;
    if (device.more) fold(device);
    else unfold(device);
  });
  const fold = (device) => {
    device.more.remove();
    device.more = null;
    device.row.querySelector("button").setAttribute("aria-expanded", "false");
  };
  const unfold = (device) => {
    device.more = make("tr", { class: "more" }, make("td", { colspan: 7 }, ...details(device)));
    device.row.after(device.more);
    device.row.querySelector("button").setAttribute("aria-expanded", "true");
  };

  /* On paper nobody can unfold a row, so those that need a look are. */
  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    const bad = ["failed", "stale", "warning"];
    unfolded = devices.filter((device) => !device.more && !device.row.hidden && bad.includes(device.condition));
    unfolded.forEach(unfold);
  });
  window.addEventListener("afterprint", () => {
    unfolded.forEach(fold);
    unfolded = [];
  });

  const details = ({ known, begin }) => [
    make("p", { class: "facts" }, known[FACTS].join(" "), ...jobLink(known[PAGE])),
    make("div", { class: "scroll" }, sourceTable(known)),
    make("h3", {}, "Sessions of the last 28 days, by day and hour (UTC)"),
    make("div", { class: "scroll", role: "region", "aria-label": "Sessions", tabindex: 0 }, plot(unpacked(known[RUNS], begin))),
    make("p", { class: "keys" }, ...["s", "w", "f"].map((letter) =>
      make("span", { class: `c ${CLASSES[letter]}` }, WORDS[letter]))),
  ];

  const jobLink = (page) => (page ? [" ", make("a", { href: page, rel: "noreferrer" }, "Open the job in Backupchecks")] : []);

  const sourceTable = (known) => {
    const titles = ["Data source", "Status", "Last success", "Errors", "28 days"];
    const head = titles.map((title) => make("th", title === "Errors" ? { scope: "col", class: "number" } : { scope: "col" }, title));
    const rows = known[SOURCES].map(([source, letter, words, success, errors, bar]) => make("tr", {},
      make("th", { scope: "row" }, label(source)),
      make("td", {}, make("span", { class: `c ${CLASSES[letter]}` }, words)),
      make("td", { class: "time" }, success === null ? "never" : `${time(success)} `,
        make("small", {}, success === null ? "" : `${age(data.asOf - success)} ago`), ...local(success)),
      make("td", { class: "number" }, errors === null ? "" : String(errors)),
      make("td", {}, colourBar(bar, known[LAST_SEEN])),
    ));
    if (!rows.length) return make("p", {}, "No data source is active.");
    return make("table", { class: "sources" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  };

  const daysInWords = (letters) => {
    const counts = Object.entries(WORDS).map(([letter, word]) => [letters.split(letter).length - 1, word]);
    return `${letters.length} days: ${counts.filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(", ")}`;
  };

  const MIDDLES = { s: 13, w: 10.5, f: 8, r: 13, n: 15 };
  const colourBar = (letters, seen) => {
    if (!letters) return "no colour bar";
    const bar = draw("svg", { class: "b", viewBox: "0 0 140 16", role: "img", "aria-label": daysInWords(letters) });
    [...letters].forEach((letter, place) => {
      const back = letters.length - 1 - place;
      const name = draw("title", {}, `${day(seen - back * DAY)}: ${WORDS[letter]}`);
      bar.append(draw("path", { class: letter, d: `M${(27 - back) * 5} ${MIDDLES[letter]}h4` }, name));
    });
    return bar;
  };

  /* The sessions of a device, which begin at some place: how many steps of 32 minutes after the one before of the
     source, how many minutes more, and the status. The last digit is a step of many without a session. */
  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const [steps, minutes, statuses] = [data.runs[0].match(/_*[^_]/g) ?? [], data.runs[1], data.runs[2]];
  const unpacked = (counts, begin) => {
    let place = begin;
    return Object.entries(counts).flatMap(([source, count]) => {
      let minute = 0;
      return Array.from({ length: count }, () => {
        const step = steps[place];
        minute += 32 * (63 * (step.length - 1) + DIGITS.indexOf(step.at(-1))) + DIGITS.indexOf(minutes[place]);
        place += 1;
        return { source, minute, letter: statuses[place - 1] };
      });
    });
  };

  const [LEFT, TOP, WIDE, HIGH] = [76, 18, 30, 13];
  const SHAPES = {
    s: (x, y) => draw("circle", { class: "s", cx: x, cy: y, r: 3 }),
    w: (x, y) => draw("path", { class: "w", d: `M${x} ${y - 4.5}l4.5 8.5h-9z` }),
    f: (x, y) => draw("path", { class: "f", d: `M${x - 4.5} ${y - 2.5}l2-2 2.5 2.5 2.5-2.5 2 2-2.5 2.5 2.5 2.5-2 2-2.5-2.5-2.5 2.5-2-2 2.5-2.5z` }),
  };
  const plot = (sessions) => {
    const counts = ["f", "w", "s"].map((letter) => `${sessions.filter((one) => one.letter === letter).length} ${WORDS[letter]}`);
    const svg = draw("svg", {
      class: "plot", viewBox: `0 0 ${LEFT + 24 * WIDE} ${TOP + 28 * HIGH + 2}`, role: "img",
      "aria-label": `${counted(sessions.length, "session")} in 28 days: ${counts.join(", ")}`,
    });
    for (let hour = 0; hour < 24; hour += 1) {
      const x = LEFT + hour * WIDE;
      svg.append(draw("line", { class: hour % 6 ? "grid" : "week", x1: x, x2: x, y1: TOP, y2: TOP + 28 * HIGH }));
      svg.append(draw("text", { x: x + 3, y: TOP - 6 }, String(hour).padStart(2, "0")));
    }
    for (let number = 0; number < 28; number += 1) {
      const [y, date] = [TOP + number * HIGH, day(data.begin + number * DAY)];
      const monday = new Date(`${date}T00:00Z`).getUTCDay() === 1;
      svg.append(draw("line", { class: monday ? "week" : "grid", x1: 0, x2: LEFT + 24 * WIDE, y1: y, y2: y }));
      svg.append(draw("text", { x: 0, y: y + 10 }, date));
    }
    /* Those of one hour stand side by side, closer the more they are; the worst are drawn last, on top. */
    const cells = grouped(sessions, cellOf);
    for (const [cell, inside] of cells) {
      inside.sort((one, other) => one.minute - other.minute);
      inside.forEach((one, place) => { one.x = LEFT + (cell % 24) * WIDE + ((place + .5) * WIDE) / inside.length; });
    }
    sessions.sort((one, other) => "swf".indexOf(one.letter) - "swf".indexOf(other.letter));
    for (const one of sessions) {
      const shape = SHAPES[one.letter](one.x, TOP + (Math.floor(one.minute / 1440) + .5) * HIGH);
      const ended = time(data.begin + one.minute * 60);
      shape.append(draw("title", {}, `${label(one.source)}, ended ${ended} UTC: ${WORDS[one.letter]}`));
      svg.append(shape);
    }
    return svg;
  };
  const cellOf = (session) => Math.floor(session.minute / 60);
  const grouped = (all, key) => all.reduce(
    (found, one) => found.set(key(one), [...(found.get(key(one)) ?? []), one]), new Map(),
  );

  /* A page that lies around grows old, which it cannot have said when it was written. */
  const sinceWritten = Date.now() / 1000 - data.asOf;
  if (sinceWritten > data.oldSeconds) {
    document.getElementById("notices").prepend(make("p", { class: "notice loud", role: "alert" },
      `This page was written ${age(sinceWritten)} ago; what it shows may not be so any more.`));
  }
  if (clock.format(0) !== time(0) || clock.format(data.asOf * 1000) !== time(data.asOf)) {
    document.getElementById("zone").textContent = `; beside them, as "local", those of ${zone}`;
  }
  /* A bar is told in words to whoever points at it or has it read out. */
  for (const { row } of devices) {
    const bar = row.lastElementChild.firstElementChild;
    if (!bar) continue;
    const letters = bar.textContent.trim();
    const text = `${daysInWords(letters)}; the last: ${WORDS[letters.at(-1)]}`;
    filled(bar, { role: "img", title: text, "aria-label": text }, []);
  }
  document.getElementById("plain").hidden = true;
  document.querySelector(".controls").hidden = !devices.length;
  filter();
})();
