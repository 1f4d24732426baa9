// The row "Camera move": its buttons, the line in the scene, and the camera on its way.

const flight = { open: false, views: [], chosen: -1, at: 0, view: null, playing: false, clock: 0 };
// view: what the camera shows while it is on the path; null: the visitor's own view

const LINE_COLOUR = [0.55, 1, 0.5, 1], CHOSEN = [1, 1, 1, 1];
const lengthGiven = () => Number($("seconds").value);

function describePath() {
  const count = flight.views.length;
  if (!count) return say("Turn the scene and add what you see as a view, twice or more; or take a ready-made move.");
  say(count < 2 ? "1 view. Add a second view from elsewhere." : `${count} views. The clip plays once along the move.`);
}

function refused() {  // with a sentence, if there is no path to go
  const seconds = lengthGiven();
  const why = flight.views.length < 2 ? "Add a second view first."
    : seconds >= 1 && seconds <= LONGEST ? "" : `Give a length between 1 and ${LONGEST} seconds.`;
  if (why) say(why);
  return Boolean(why);
}

// ---- on the way

function lookFrom({ place, turn, focal }, { width, height }) {
  const { right, down, forward } = axesOf(turn), pixels = focal * Math.min(height, width / ASPECT) / 2;
  return { view: worldToCamera(right, down, forward, place), lens: [2 * pixels / width, 2 * pixels / height, 0, 0] };
}

function goAlong(share) {  // to a share of the way, and of the clip
  flight.at = limit(share, 0, 1);
  $("along").value = 1000 * flight.at;
  if (flight.views.length > 1) flight.view = between(flight.views, flight.at);
  else if (flight.views.length) flight.view = flight.views[0];
  setPlaying(false);
  setStep(Math.round(flight.at * lastStep));
  moved();
}

function goTo(chosen) {
  press("through", false);
  setFlying(false);
  goAlong(chosen / Math.max(flight.views.length - 1, 1));
  showViews(chosen);
}

function setFlying(on) {
  flight.playing = on && !refused();
  $("fly").setAttribute("aria-label", flight.playing ? "Stop the move" : "Play the move");
  $("fly").querySelector("path").setAttribute("d", icon(flight.playing));
  if (!flight.playing) return rest();
  press("through", false);
  showViews(-1);
  goAlong(flight.at < 1 ? flight.at : 0);
  flight.clock = performance.now();
  requestAnimationFrame(fly);
}

function fly(now) {
  if (!flight.playing) return;
  goAlong(flight.at + (now - flight.clock) / 1000 / lengthGiven());
  flight.clock = now;
  if (flight.at < 1) requestAnimationFrame(fly);
  else setFlying(false);
}

function leavePath() {  // to look around from there
  if (flight.playing) setFlying(false);
  flight.view = null;
}

// ---- the views

function showViews(chosen) {  // a button for each
  flight.chosen = chosen;
  $("views").replaceChildren(...flight.views.map((_, k) => {
    const button = document.createElement("button");
    button.textContent = k + 1;
    button.title = "Go to this view";
    button.setAttribute("aria-label", `View ${k + 1}`);
    button.setAttribute("aria-pressed", k === chosen);
    button.onclick = () => goTo(k);
    return button;
  }));
  $("drop").disabled = chosen < 0;
  $("clear").disabled = !flight.views.length;
  redraw();
}

function setViews(views, chosen = -1) {
  flight.views = views;
  showViews(chosen);
  if (flight.open) describePath();
}

function addView() {
  if (flight.views.length >= MOST_VIEWS) return say(`${MOST_VIEWS} views are the most.`);
  if (flight.playing) setFlying(false);
  setViews([...flight.views, viewNow()], flight.views.length);
}

function dropView() {
  setViews(flight.views.filter((_, k) => k !== flight.chosen));
  leavePath();
}

function take(views) {  // a ready-made move, or one from a file
  setViews(views);
  setFlying(false);
  press("through", false);
  goAlong(0);
}

// ---- out and in

function savePath() {
  if (refused()) return;
  const text = JSON.stringify(documentOf(flight.views, lengthGiven()), null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "camera_path.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function loadPath(file) {
  const { why, views, seconds, notes } = readDocument(await file.text());
  if (why) return say(`“${file.name}” ${why}`);
  $("seconds").value = seconds;
  take(views);
  if (notes.length) say([`${views.length} views.`, ...notes].join(" "));
}

function pathLines() {  // segments: the way, and a small pyramid where each view is
  const { views } = flight, depth = 0.05 * scene.distance, count = 16 * (views.length - 1);
  const places = count > 0 ? Array.from({ length: count + 1 }, (_, k) => between(views, k / count).place) : [];
  const way = places.slice(1).map((place, k) => [places[k], place, LINE_COLOUR]);
  return way.concat(views.flatMap(({ place, turn, focal }, k) => {
    const { right, down, forward } = axesOf(turn), colour = k === flight.chosen ? CHOSEN : LINE_COLOUR;
    const corner = (x, y) => add(add(add(place, forward, depth), right, x * ASPECT * depth / focal), down,
                                 y * depth / focal);
    const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
    return corners.flatMap((each, j) => [[place, each, colour], [each, corners[(j + 1) % 4], colour]]);
  }));
}

function openPath(open) {
  flight.open = open;
  $("move").setAttribute("aria-expanded", open);
  $("way").hidden = !open;
  document.documentElement.dataset.move = open ? "open" : "closed";
  if (open) describePath();
  else leavePath();
  redraw();
}

const keptPath = () => ({ views: flight.views, seconds: $("seconds").value, open: flight.open });

function takeUpPath({ views, seconds, open }, larger) {
  $("seconds").value = seconds;
  setViews(views.map(view => ({ ...view, place: larger(view.place) })));
  if (open) openPath(true);
}

function wirePath() {
  const does = {
    move: () => openPath(!flight.open), fly: () => setFlying(!flight.playing), add: addView, drop: dropView,
    clear: () => { leavePath(); setViews([]); },
    around: () => take(orbit()), follow: () => take(followMover()), dolly: () => take(dollyZoom()),
    save: savePath, load: () => $("file").click(),
    render: () => refused() || tellPage("path", {
      document: documentOf(flight.views, lengthGiven()), without: leftOut(), still: pressed("static"),
    }),
  };
  for (const id in does) $(id).onclick = does[id];
  $("along").oninput = () => {
    setFlying(false);
    if (flight.views.length < 2) return void refused();
    press("through", false);
    showViews(-1);
    goAlong($("along").value / 1000);
  };
  $("file").onchange = () => {
    if ($("file").files[0]) loadPath($("file").files[0]);
    $("file").value = "";
  };
  $("follow").disabled = !followed();
  $("render").hidden = !embedded || scenes.length > 1;
  $("fly").querySelector("path").setAttribute("d", icon(false));
  setViews([]);
}
