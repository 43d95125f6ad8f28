// The search page. What the server sends is only ever put in place as text, never as markup, and the question stands behind
// the # of the address, where no server and no proxy logs it.
"use strict";

const $ = (id) => document.getElementById(id);
const form = $("search");
const TOKEN = "rag-pipeline-token";
const EXCERPT = 420;
let caller = null;
let published = null;
let asking = new AbortController();

// -- the server -----------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || "The server did not answer.");
    this.status = status;
  }
}

async function send(path, body, signal) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

const load = async (path, body, signal) => (await send(path, body, signal)).json();

// -- making elements --------------------------------------------------------------------------------------------

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function say(sentence, isWrong) {
  $("status").textContent = sentence;
  $("status").classList.toggle("wrong", Boolean(isWrong));
}

const quoted = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

// Words of the question; where a script writes without blanks, they are looked for inside of words, too.
function pattern(question) {
  const all = question.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || [];
  // Short words stand everywhere and say little, unless they are all there is; one sign of Chinese says much.
  const telling = all.filter((word) => word.length >= 4 || /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u.test(word));
  const words = [...new Set(telling.length ? telling : all)];
  if (!words.length) return null;
  const joined = words.map(quoted).join("|");
  return new RegExp(`(?<![a-z0-9_])(${joined})`, "giu");
}

function marked(text, question) {
  const words = pattern(question);
  const parts = [];
  let at = 0;
  for (const match of words ? text.matchAll(words) : []) {
    parts.push(text.slice(at, match.index), make("mark", {}, match[0]));
    at = match.index + match[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}

function excerpt(text, question) {
  if (text.length <= EXCERPT) return text;
  const words = pattern(question);
  const first = words ? Math.max(0, text.search(words)) : 0;
  const begin = first > EXCERPT / 2 ? text.indexOf(" ", first - 80) + 1 : 0;
  const blank = text.lastIndexOf(" ", begin + EXCERPT);
  const end = text.length <= begin + EXCERPT ? text.length : blank > begin ? blank : begin + EXCERPT;
  return (begin ? "… " : "") + text.slice(begin, end) + (end < text.length ? " …" : "");
}

function day(moment) {
  return moment ? new Date(moment).toISOString().slice(0, 10) : "unknown";
}

function ago(moment) {
  if (!moment) return "never";
  const minutes = Math.max(0, Math.round((Date.now() - new Date(moment)) / 60000));
  const amount = (count, word) => `${count} ${word}${count === 1 ? "" : "s"} ago`;
  if (minutes < 1) return "just now";
  if (minutes < 90) return amount(minutes, "minute");
  return minutes < 2880 ? amount(Math.round(minutes / 60), "hour") : amount(Math.round(minutes / 1440), "day");
}

// -- state in the address -----------------------------------------------------------------------------------------

function stateOfForm() {
  const state = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value.trim()) state.append(name, value.trim());
  if (state.get("mode") === "hybrid") state.delete("mode");
  if (state.get("k") === "10") state.delete("k");
  if (!state.has("narrow")) state.delete("principal");
  return state;
}

function stateOfAddress() {
  return new URLSearchParams(location.hash.slice(1) || location.search.slice(1));
}

function fill(state) {
  form.reset();
  for (const control of form.elements) {
    if (!control.name) continue;
    const values = state.getAll(control.name);
    if (control.type === "radio") control.checked = control.value === (values[0] || "hybrid");
    else if (control.type === "checkbox") control.checked = values.includes(control.value);
    else if (values.length) control.value = values[0];
  }
  const closed = ["q", "mode", "k", "compare", "then", "chunk", "ask"];
  if ([...state.keys()].some((name) => !closed.includes(name))) $("filters").open = true;
  $("then").hidden = form.elements.compare.value !== "then";
}

// -- what is asked --------------------------------------------------------------------------------------------------

function questionOf(state) {
  const one = (name) => state.get(name) || null;
  const listed = (name) => (state.has(name) ? state.getAll(name) : null);
  return {
    query: state.get("q"),
    mode: state.get("mode") || "hybrid",
    k: Number(state.get("k")) || 10,
    sources: listed("source"),
    paths: listed("path"),
    languages: listed("language"),
    media_types: listed("kind"),
    since: one("since"),
    before: one("before"),
    filters: (state.get("filter") || "").split(";").map((text) => text.trim()).filter(Boolean),
    view_as: viewOf(state),
  };
}

function viewOf(state) {
  return state.has("narrow") ? state.getAll("principal") : null;
}

// Before the name of another embedding model, where the search is compared with its index.
const SPACE = "space:";
const MODES = { hybrid: "By both", vector: "By meaning", text: "By words" };

async function run(state) {
  asking.abort();
  asking = new AbortController();
  const signal = asking.signal;
  const question = questionOf(state);
  $("answer").hidden = true;
  if (!question.query) return;
  document.title = `${question.query} – Search`;
  say("Searching …");
  const asked = [{ title: MODES[question.mode], question }];
  const compare = state.get("compare");
  if (compare === "then") {
    asked[0].title = "Now";
    asked.push({ title: `As of ${state.get("then") || "1d"}`, question: { ...question, as_of: state.get("then") || "1d" } });
  } else if (compare && compare.startsWith(SPACE)) {
    const model = compare.slice(SPACE.length);
    asked[0].title = `Model ${published}`;
    asked.push({ title: `Model ${model}`, question: { ...question, space: model } });
  } else if (compare) {
    asked.push({ title: MODES[compare], question: { ...question, mode: compare } });
  }
  try {
    const began = performance.now();
    const answers = await Promise.all(asked.map((each) => load("/v1/search", each.question, signal)));
    draw(asked, answers.map((answer) => answer.hits));
    const counts = answers.map((answer) => `${answer.hits.length} ${answer.hits.length === 1 ? "hit" : "hits"}`);
    say(`${counts.join(" and ")} in ${((performance.now() - began) / 1000).toFixed(2)} s`);
    if (state.get("ask") && caller.answers) answer(state);
    if (state.get("chunk")) await open(state.get("chunk"), false);
  } catch (error) {
    failed(error);
  }
}

// -- an answer ----------------------------------------------------------------------------------------------------------

const VERDICTS = {
  answered: "",
  unsupported: "The answer cites no document; do not rely on it.",
  no_information: "The documents that you may read do not say.",
  cut_short: "The answer ended at its limit.",
  failed: "The model did not answer.",
};

async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n");
      const field = (name) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("");
      if (field("event")) yield [field("event"), JSON.parse(field("data"))];
    }
  }
}

async function answer(state) {
  const { k, ...question } = questionOf(state);
  if (!question.query) return;
  const signal = asking.signal;
  $("answer").hidden = false;
  $("answer-text").replaceChildren();
  $("answer-sources").replaceChildren();
  $("answer-facts").textContent = "";
  $("answer-thumbs").replaceChildren();
  $("answer-note").textContent = "Answering …";
  let given = new Map();
  let whole = null;
  try {
    for await (const [name, content] of eventsOf(await send("/v1/ask", question, signal))) {
      if (name === "sources") given = new Map(content.citations.map((each) => [each.number, each]));
      else if (name === "text") $("answer-text").append(content.text);
      else if (name === "citation") $("answer-text").append(cited(given.get(content.number)));
      else if (name === "problem") throw new Error(content.detail);
      else if (name === "done") whole = content;
    }
    if (!whole) throw new Error("The answer broke off.");
    $("answer-note").textContent = VERDICTS[whole.verdict] || "Answer complete.";
    $("answer-sources").replaceChildren(...whole.citations.map((each) => make("li", { value: each.number }, opening(each, each.title || each.uri), ` ${each.uri}${each.place ? `, ${each.place}` : ""}`)));
    const cost = whole.from_cache ? "kept from before" : `${whole.tokens_in + whole.tokens_out} tokens`;
    // Of an answer that failed there is nothing to say.
    if (whole.verdict !== "failed") {
      const about = { chunk_ids: whole.citations.map((each) => each.chunk_id), plan_fingerprint: whole.plan_fingerprint, model: whole.model };
      $("answer-thumbs").replaceChildren(thumbs("the answer", question, { answer: about }));
    }
    $("answer-facts").textContent = `${whole.model} · ${cost} · ${whole.latency_seconds.toFixed(1)} s`;
  } catch (error) {
    if (error.name !== "AbortError") $("answer-note").textContent = error.message;
  }
}

function opening(citation, text) {
  return make("button", { type: "button", class: "link", onclick: () => open(citation.chunk_id, true) }, text);
}

function cited(citation) {
  const mark = opening(citation, `[${citation.number}]`);
  mark.setAttribute("aria-label", `Citation ${citation.number}: ${citation.title || citation.uri}`);
  return mark;
}

function failed(error) {
  if (error.name === "AbortError") return;
  $("results").replaceChildren();
  say(error.message, true);
  if (error.status === 401) signIn(true);
}

// -- hits -------------------------------------------------------------------------------------------------------------

function draw(asked, found) {
  const isTwo = found.length === 2;
  $("results").classList.toggle("two", isTwo);
  $("results").replaceChildren(
    ...found.map((hits, at) => {
      const others = isTwo ? new Map(found[1 - at].map((hit) => [hit.chunk_id, hit.rank])) : null;
      const list = make("ol", {}, ...hits.map((hit) => make("li", {}, drawn(hit, asked[at].question, others))));
      return make("section", { "aria-label": isTwo ? asked[at].title : "Hits" }, make("h2", {}, isTwo ? asked[at].title : "Hits"), list);
    }),
  );
}

function drawn(hit, question, others) {
  const query = question.query;
  const opener = make("button", { type: "button", class: "open", onclick: () => open(hit.chunk_id, true) });
  opener.append(...marked(hit.title || hit.uri, query));
  const heading = make("h3", {}, `${hit.rank}. `, opener);
  const text = make("p", { class: "text" }, ...marked(excerpt(hit.text, query), query));
  return make(
    "article",
    { class: "hit", "data-chunk": hit.chunk_id },
    heading,
    make("p", { class: "meta" }, hit.citation),
    text,
    make("p", { class: "meta" }, scoreOf(hit)),
    make("p", { class: "meta" }, `${hit.source} · modified ${day(hit.source_modified_at)} · looked at ${ago(hit.source_polled_at)} · may read: ${hit.allowed_principals.join(", ")}`),
    thumbs(`hit ${hit.rank}`, question, { chunk_id: hit.chunk_id, rank: hit.rank }),
    others ? make("p", { class: "meta" }, placeAmong(others, hit)) : null,
    ...notesOn(hit).map((note) => make("p", { class: "meta warn" }, note)),
  );
}

function thumbs(name, question, about) {
  const comment = make("input", { type: "text", maxlength: "2000", placeholder: "Comment", "aria-label": `Comment on ${name}` });
  const button = (verdict, said) =>
    make("button", { type: "button", "aria-pressed": "false", "aria-label": `${said} (${name})`, "data-verdict": verdict }, said);
  const box = make("div", { class: "thumbs" }, button("up", "Answers the question"), button("down", "Does not"), comment);
  box.addEventListener("click", async (event) => {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    const { query, mode, view_as } = question;
    const remark = { query, mode, view_as, ...about };
    try {
      await load("/v1/feedback", { ...remark, verdict: pressed.dataset.verdict, comment: comment.value.trim() });
      for (const each of box.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === pressed));
      say(`Thank you: what you said of ${name} is kept.`);
    } catch (error) {
      say(error.message, true);
    }
  });
  return box;
}

function scoreOf(hit) {
  const parts = [];
  if (hit.vector_rank !== null) parts.push(`meaning #${hit.vector_rank} (cosine ${(1 - hit.vector_distance).toFixed(3)})`);
  if (hit.text_rank !== null) parts.push(`words #${hit.text_rank} (BM25 ${hit.text_score.toFixed(2)})`);
  if (hit.rerank_score !== null) parts.push(`reranked (${hit.rerank_score.toFixed(2)})`);
  let said = `score ${hit.score.toFixed(4)} = ${parts.join(" + ")}`;
  if (hit.vector_weight !== null) said += `, meaning counts ${hit.vector_weight.toFixed(2)}`;
  if (hit.rank_weight < 1) said += `, times ${hit.rank_weight} for low quality`;
  if (hit.age_weight < 1) said += `, times ${hit.age_weight.toFixed(2)} for age`;
  return said;
}

function placeAmong(others, hit) {
  return others.has(hit.chunk_id) ? `Hit ${others.get(hit.chunk_id)} on the other side.` : "Not on the other side.";
}

function notesOn(hit) {
  const notes = [];
  if (hit.source_overdue) notes.push("Its source was not looked at for too long.");
  if (hit.superseded_by.length) notes.push(`An older version; the newest is ${hit.superseded_by.map((each) => each.uri).join(", ")}.`);
  if (hit.elsewhere.length) notes.push(`Also in ${hit.elsewhere.map((each) => each.uri).join(", ")}.`);
  if (hit.rerank_note) notes.push(`${hit.rerank_note}.`);
  return notes;
}

// -- one document, at its place ---------------------------------------------------------------------------------------

let opener = null;

async function open(chunk, isNew) {
  opener = document.activeElement;
  try {
    const state = stateOfAddress();
    const window_ = await load("/v1/window", { chunk_id: chunk, by: "tokens", max_tokens: 2000, view_as: viewOf(state) });
    $("document-title").textContent = window_.title || window_.uri;
    $("document-place").replaceChildren(window_.citation, ...linkTo(window_));
    $("document-lineage").replaceChildren(...wayOf(window_.lineage));
    const query = state.get("q") || "";
    const cut = (from, to) => marked(window_.text.slice(from, to), query);
    const chunkText = make("span", { class: "chunk" }, ...cut(window_.chunk_start, window_.chunk_end));
    $("document-text").replaceChildren(...cut(0, window_.chunk_start), chunkText, ...cut(window_.chunk_end));
    $("document").showModal();
    chunkText.scrollIntoView({ block: "center" });
    $("document-text").focus();
    if (isNew) {
      state.set("chunk", chunk);
      history.pushState(null, "", `#${state}`);
    }
  } catch (error) {
    if (error.status === 401) failed(error);
    else say(error.message, true);
  }
}

// From the source to readers, a row for each layer that has one of it.
function wayOf(way) {
  const row = (layer, holds) => make("tr", {}, make("th", { scope: "row" }, layer), make("td", {}, holds));
  const at = (moment) => (moment ? `${new Date(moment).toLocaleString()} (${ago(moment)})` : "not known");
  return [
    row("Source", `${way.source}, last asked ${at(way.source_polled_at)}${way.source_overdue ? ", overdue" : ""}`),
    row("Object", `${way.uri}, modified ${at(way.source_modified_at)}`),
    row("Document", way.document_id),
    row("Chunk", `${way.chunk_id}, characters ${way.start_char} to ${way.end_char}`),
    row("Published", at(way.published_at)),
    row("Further", `rag-pipeline trace ${way.chunk_id} follows it to the bytes`),
  ];
}

// Only addresses of the web lead anywhere; what a file's path means, this browser cannot know.
function linkTo(window_) {
  if (!/^https?:\/\//i.test(window_.uri)) return [];
  const place = window_.page ? `#page=${window_.page}` : "";
  return [" · ", make("a", { href: window_.uri + place, rel: "noreferrer noopener", target: "_blank" }, "open the original")];
}

$("close").addEventListener("click", () => $("document").close());
$("document").addEventListener("close", () => {
  const state = stateOfAddress();
  if (state.has("chunk")) {
    state.delete("chunk");
    history.replaceState(null, "", `#${state}`);
  }
  if (opener) opener.focus();
});

// -- who asks -----------------------------------------------------------------------------------------------------------

// Nothing that one caller saw stays in the page for the next one, nor comes in late.
function forget() {
  asking.abort();
  $("answer").hidden = true;
  if ($("document").open) $("document").close();
  for (const id of ["results", "answer-text", "answer-sources", "answer-thumbs", "document-title", "document-place", "document-text", "document-lineage", "sources", "principals"]) $(id).replaceChildren();
  $("freshness").querySelector("tbody").replaceChildren();
}

function signIn(isWanted) {
  $("sign").hidden = !isWanted;
  form.hidden = isWanted;
  const isAnonymous = caller !== null && caller.name === "anonymous";
  $("leave").hidden = isWanted || !(sessionStorage.getItem(TOKEN) || isAnonymous);
  $("leave").textContent = isAnonymous ? "Sign in" : "Sign out";
  if (isWanted) {
    sessionStorage.removeItem(TOKEN);
    forget();
    $("caller").textContent = "";
    $("published").textContent = "";
    $("freshness").hidden = true;
    $("token").focus();
  }
}

async function start() {
  try {
    caller = await load("/v1/me");
    const sources = await load("/v1/sources");
    signIn(false);
    $("caller").textContent = `${caller.name} (${caller.principals.join(", ")})`;
    published = sources.embedding_model;
    $("published").textContent = `${sources.embedding_model}, published ${ago(sources.published_at)}`;
    $("ask").hidden = !caller.answers;
    offer(sources.sources);
    offerModels(sources.embedding_models.filter((name) => name !== published));
  } catch (error) {
    if (error.status === 401 && sessionStorage.getItem(TOKEN)) say(error.message, true);
    else if (error.status !== 401) say(error.message, true);
    signIn(error.status === 401);
    return;
  }
  fill(stateOfAddress());
  if (stateOfAddress().get("q")) await run(stateOfAddress());
  else form.elements.q.focus();
}

function offerModels(names) {
  const select = form.elements.compare;
  for (const option of [...select.options]) if (option.value.startsWith(SPACE)) option.remove();
  select.append(...names.map((name) => make("option", { value: SPACE + name }, `the model ${name}`)));
}

function offer(sources) {
  const box = (name, value, text) => make("label", {}, make("input", { type: "checkbox", name, value }), ` ${text}`);
  $("sources").replaceChildren(...sources.map((each) => box("source", each.source, `${each.source} (${each.documents})`)));
  const options = (name, values) => {
    const select = form.elements[name];
    select.replaceChildren(select.options[0], ...[...new Set(values)].sort().map((value) => make("option", { value }, value)));
  };
  options("language", sources.flatMap((each) => each.languages));
  options("kind", sources.flatMap((each) => each.media_types));
  $("view").hidden = !caller.is_administrator;
  $("principals").replaceChildren(...caller.principals.map((name) => box("principal", name, name)));
  $("freshness").hidden = false;
  $("freshness").querySelector("tbody").replaceChildren(
    ...sources.map((each) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, each.source),
        make("td", {}, String(each.documents)),
        make("td", {}, day(each.newest_modified_at)),
        make("td", each.is_overdue ? { class: "warn" } : {}, ago(each.polled_at) + (each.is_overdue ? ", overdue" : "")),
      ),
    ),
  );
}

$("sign").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value.trim());
  $("token").value = "";
  say("");
  start();
});
$("leave").addEventListener("click", () => {
  say("");
  signIn(true);
});

// -- the form and the keys --------------------------------------------------------------------------------------------------

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const state = stateOfForm();
  history.pushState(null, "", `#${state}`);
  run(state);
});
$("ask").addEventListener("click", () => {
  if (!form.reportValidity()) return;
  const state = stateOfForm();
  state.set("ask", "1");
  history.pushState(null, "", `#${state}`);
  run(state);
});
form.elements.compare.addEventListener("change", () => {
  $("then").hidden = form.elements.compare.value !== "then";
});
form.addEventListener("change", (event) => {
  if (event.target.name === "principal") form.elements.narrow.checked = true;
});
addEventListener("popstate", () => {
  if ($("document").open) $("document").close();
  fill(stateOfAddress());
  run(stateOfAddress());
});

addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=radio]):not([type=checkbox]), select, textarea");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || $("document").open) return;
  if (event.key === "/" && !form.hidden) {
    event.preventDefault();
    form.elements.q.focus();
    form.elements.q.select();
  } else if (event.key === "j" || event.key === "k") {
    const hits = [...document.querySelectorAll("#results .open")];
    const here = hits.indexOf(document.activeElement);
    const next = hits[event.key === "j" ? here + 1 : Math.max(0, here - 1)];
    if (next) next.focus();
  }
});

start();
