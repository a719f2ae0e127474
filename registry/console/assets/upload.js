'use strict';

// The page Upload: what was filled in becomes a manifest, which goes ahead of the file. It judges nothing but what would surely be
// refused, and keeps what was filled in whatever the answer is.

const uploadForm = document.getElementById('upload');
const drop = document.getElementById('drop');
const file = document.getElementById('file');
const sendButton = document.getElementById('send');
const cancelButton = document.getElementById('cancel');
const progress = document.getElementById('progress');
const bar = document.getElementById('bar');
const phase = document.getElementById('phase');
const amount = document.getElementById('amount');
const outcome = document.getElementById('outcome');

const field = (name) => uploadForm.elements.namedItem(name);

/** Return a size as people read it. */
function shownBytes(count) {
  const power = Math.min(4, Math.floor(Math.log2(Math.max(count, 1)) / 10));
  const value = count / 2 ** (10 * power);
  return `${power && value < 100 ? value.toFixed(1) : Math.round(value)} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

/** Say what is wrong beside a field, or nothing. Return whether it is good. */
function tell(name, text) {
  const place = document.getElementById(`wrong-${name}`);
  place.textContent = text;
  place.hidden = !text;
  const input = name === 'file' ? file : field(name);
  if (text) {
    input.setAttribute('aria-invalid', 'true');
  } else {
    input.removeAttribute('aria-invalid');
  }
  return !text;
}

// --- the file ----------------------------------------------------------------------------------------------------------------

function showFile() {
  const chosen = file.files[0];
  drop.classList.toggle('has-file', Boolean(chosen));
  document.getElementById('chosen').textContent = chosen ? `${chosen.name}, ${shownBytes(chosen.size)}` : '';
  if (!chosen) {
    return;
  }
  checkFile();
  const name = field('model');
  if (!name.value) {
    const stem = chosen.name.toLowerCase().replace(/\.[a-z0-9]+$/, '');
    name.value = stem.replace(/[^a-z0-9._-]+/g, '-').replace(/\.{2,}/g, '.').replace(/^[^a-z0-9]+/, '').slice(0, 64);
  }
}

function checkFile() {
  const chosen = file.files[0];
  const most = Number(uploadForm.dataset.maxArtifact);
  if (!chosen) {
    return tell('file', 'Choose the file to upload.');
  }
  if (!chosen.size) {
    return tell('file', 'This file is empty.');
  }
  return tell('file', chosen.size > most ? `This file has ${shownBytes(chosen.size)}; the service takes ${shownBytes(most)} at most.` : '');
}

file.addEventListener('change', showFile);

for (const kind of ['dragenter', 'dragover']) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would open what is dropped beside the field
    drop.classList.toggle('over', drop.contains(event.target));
  });
}
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget || !drop.contains(event.relatedTarget)) {
    drop.classList.remove('over');
  }
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  if (!drop.contains(event.target) || request) {
    return;
  }
  const dropped = event.dataTransfer.files;
  if (dropped.length > 1) {
    tell('file', `One file at a time: ${dropped.length} were dropped, and none was taken.`);
    return;
  }
  if (dropped.length) {
    file.files = dropped;
    showFile();
  }
});

// --- the manifest ------------------------------------------------------------------------------------------------------------

/** Return the lines `name=value` of a field as pairs, or null where one can't be read, which is told. */
function readLines(name, read, wanted) {
  const pairs = {};
  for (const line of field(name).value.split('\n').map((text) => text.trim()).filter(Boolean)) {
    const at = line.indexOf('=');
    const key = line.slice(0, Math.max(at, 0)).trim();
    const value = read(line.slice(at + 1).trim());
    if (!key || value === null) {
      tell(name, `“${line.slice(0, 60)}” isn’t ${wanted}.`);
      return null;
    }
    if (Object.hasOwn(pairs, key)) {
      tell(name, `“${key}” stands there twice.`);
      return null;
    }
    Object.defineProperty(pairs, key, { value, enumerable: true }); // a name may be __proto__
  }
  tell(name, '');
  return pairs;
}

function readNumber(text) {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text)) ? Number(text) : null;
}

/** Return the manifest's JSON, or null where a field is wrong, which is told. */
function makeManifest() {
  const parts = [];
  const add = (name, json) => parts.push(`${JSON.stringify(name)}: ${json}`);
  for (const name of ['alias', 'description', 'runtime']) {
    const value = field(name).value.trim();
    if (value) {
      add(name, JSON.stringify(value));
    }
  }
  if (field('accept_skew').checked) {
    add('accept_skew', 'true');
  }
  const metrics = readLines('metrics', readNumber, 'a name and a number, such as accuracy=0.97');
  const tags = readLines('tags', (text) => text, 'a name and a value, such as team=credit');
  const source = readLines('source', (text) => text, 'a name and a value, such as commit=4f2a1c9');
  for (const [name, pairs] of Object.entries({ metrics, tags, source })) {
    if (pairs && Object.keys(pairs).length) {
      add(name, JSON.stringify(pairs));
    }
  }
  const example = field('input_example').value.trim();
  let exampleIsGood = true;
  if (example) {
    try {
      JSON.parse(example);
      add('input_example', example); // as it was written: numbers that JavaScript would round stay what they are
    } catch (error) {
      exampleIsGood = tell('input_example', `This isn’t JSON: ${error.message}`);
    }
  }
  if (exampleIsGood) {
    tell('input_example', '');
  }
  return metrics && tags && source && exampleIsGood ? `{${parts.join(', ')}}` : null;
}

function checkNames() {
  const model = field('model');
  const alias = field('alias');
  model.value = model.value.trim();
  alias.value = alias.value.trim();
  const modelText = 'A model name has 1 to 64 of a-z, 0-9, “.”, “_” and “-”, starts with a letter or digit and has no “..”.';
  const modelIsGood = tell('model', model.checkValidity() ? '' : modelText);
  const aliasIsGood = alias.checkValidity() && alias.value !== 'latest';
  return tell('alias', aliasIsGood ? '' : 'An alias has 1 to 64 of a-z, 0-9 and “-”, starts with a letter, and isn’t “latest”.') && modelIsGood;
}

function focusWrong() {
  const wrong = uploadForm.querySelector('[aria-invalid="true"]');
  const folded = wrong?.closest('details');
  if (folded) {
    folded.open = true;
  }
  wrong?.focus();
}

// --- sending -----------------------------------------------------------------------------------------------------------------

let request = null;
let token = csrf;

uploadForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (sendButton.disabled) {
    return;
  }
  const good = [checkFile(), checkNames()].every(Boolean);
  const manifest = makeManifest();
  if (!good || manifest === null) {
    focusWrong();
    return;
  }
  if (new Blob([manifest]).size > Number(uploadForm.dataset.maxManifest)) {
    tell('input_example', 'All this together is more than the service takes beside a file. Send fewer rows.');
    focusWrong();
    return;
  }
  sendButton.disabled = true;
  try {
    token ??= await freshToken();
  } catch {
    ended('The service could not be reached. Try again.');
    return;
  }
  send(field('model').value, manifest, file.files[0]);
});

/** Return the token of this browser's session now: whoever signed in anew in another tab has another than this page was made with. */
async function freshToken() {
  const answer = await fetch(uploadForm.action);
  return new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('meta[name="csrf"]')?.content ?? '';
}

function send(model, manifest, artifact) {
  const body = new FormData();
  body.append('manifest', new Blob([manifest], { type: 'application/json' }));
  body.append('artifact', artifact, 'artifact');
  const began = performance.now();
  request = new XMLHttpRequest();
  request.open('POST', `/console/models/${encodeURIComponent(model)}/versions`);
  request.setRequestHeader('X-CSRF-Token', token);
  request.setRequestHeader('X-Modelyard-Part', 'true');
  request.upload.addEventListener('progress', (event) => {
    const seconds = (performance.now() - began) / 1000;
    bar.max = event.total;
    bar.value = event.loaded;
    amount.textContent = `${shownBytes(event.loaded)} of ${shownBytes(event.total)}, ${shownBytes(event.loaded / Math.max(seconds, 0.001))} a second`;
  });
  request.upload.addEventListener('load', () => {
    bar.removeAttribute('value');
    amount.textContent = '';
    phase.textContent = 'Being admitted: a locked process loads it, reads its signature and records its predictions …';
    cancelButton.hidden = true; // all of it has come: the service goes on, whoever waits
  });
  request.addEventListener('load', answered);
  request.addEventListener('error', () => ended('The connection ended before there was an answer. See under Models whether the version is there, and try again if it isn’t.'));
  request.addEventListener('abort', () => ended('Cancelled. Nothing was kept.'));
  outcome.replaceChildren();
  bar.max = 1;
  bar.value = 0;
  amount.textContent = '';
  phase.textContent = 'Uploading …';
  cancelButton.hidden = false;
  progress.hidden = false;
  request.send(body);
}

/** Show what the service made of it; the answer is a part of a page, made by the service's own templates. */
function answered() {
  const { status, responseText } = request;
  const signIn = request.getResponseHeader('HX-Redirect');
  const isPart = (request.getResponseHeader('Content-Type') || '').startsWith('text/html');
  finish();
  if (status === 401 || status === 403) {
    token = null;
  }
  if (signIn) {
    show('Your session has ended. Sign in again in another tab, then upload from here: nothing that you filled in is lost.');
  } else if (!isPart) {
    show(`The service answered ${status}, and nothing more. Try again.`);
  } else {
    outcome.innerHTML = responseText;
    if (status === 201) {
      file.value = '';
      showFile();
    }
    outcome.focus();
    outcome.scrollIntoView({ block: 'nearest' });
  }
}

function ended(text) {
  finish();
  show(text);
}

function show(text) {
  const line = document.createElement('p');
  line.className = 'problem';
  line.setAttribute('role', 'alert');
  line.textContent = text;
  outcome.replaceChildren(line);
  outcome.focus();
}

function finish() {
  request = null;
  progress.hidden = true;
  phase.textContent = '';
  sendButton.disabled = false;
}

cancelButton.addEventListener('click', () => request?.abort());

window.addEventListener('beforeunload', (event) => {
  if (request) {
    event.preventDefault();
  }
});

if (file.files.length) {
  showFile(); // a browser that was reloaded may remember the file
}
