'use strict';

// What every page of the console does: the token that goes with each request, dialogs, errors where they belong, what is said
// aloud, copying, and the theme. It keeps nothing but the theme, and loads nothing by itself.

const csrf = document.querySelector('meta[name="csrf"]').content;
const dialog = document.getElementById('dialog');
const said = document.getElementById('said');

/** Say something to everybody, for a while. */
function say(text) {
  const line = document.createElement('p');
  line.textContent = text;
  said.append(line);
  setTimeout(() => line.remove(), 6000);
}

// --- what htmx asks and gets ---------------------------------------------------------------------------------------------

document.addEventListener('htmx:config:request', (event) => {
  event.detail.ctx.request.headers['X-CSRF-Token'] = csrf;
});

// An error goes into the nearest place for one: in the form, in the dialog, or on top of the page.
document.addEventListener('htmx:before:response', (event) => {
  const { ctx } = event.detail;
  if (ctx.response.status < 400 || ctx.hx.redirect) {
    return;
  }
  ctx.select = null;
  if (ctx.hx.retarget) {
    ctx.hx.reswap ??= 'innerHTML'; // the answer says itself where it belongs: a form made anew with what is wrong beside each field
    return;
  }
  const source = ctx.sourceElement;
  const around = source.closest('[data-errors]') || source.closest('dialog') || document.getElementById('main');
  let place = around.querySelector('[data-error]');
  if (!place) {
    place = document.createElement('div');
    place.dataset.error = '';
    around.prepend(place);
  }
  Object.assign(ctx.hx, { retarget: place, reswap: 'innerHTML' });
  delete ctx.hx.reselect;
});

document.addEventListener('htmx:before:request', (event) => {
  const around = event.detail.ctx.sourceElement.closest('[data-errors], dialog');
  around?.querySelectorAll('[data-error]').forEach((place) => place.replaceChildren());
});

document.addEventListener('htmx:error', () => say('The service could not be reached. Try again.'));

// --- the dialog ------------------------------------------------------------------------------------------------------------

let opener = null;

document.addEventListener('htmx:after:swap', (event) => {
  const body = document.getElementById('dialog-body');
  const { ctx } = event.detail;
  if (ctx.target === body || ctx.target?.id === 'dialog-body') {
    if (!dialog.open) {
      opener = ctx.sourceElement;
      dialog.showModal();
    }
    (body.querySelector('[autofocus]') || body.querySelector('input:not([type=hidden]), textarea, select, button'))?.focus();
  }
});

// The server says that what the dialog was for is done.
document.addEventListener('done', (event) => {
  dialog.close();
  if (event.detail?.text) {
    say(event.detail.text);
  }
});

dialog.addEventListener('close', () => {
  document.getElementById('dialog-body').replaceChildren();
  const back = opener?.isConnected ? opener : document.getElementById(opener?.id); // the page may have been made anew around it
  (back && !back.disabled ? back : document.getElementById('main')).focus();
  opener = null;
});

document.addEventListener('click', (event) => {
  if (event.target === dialog || event.target.closest('[data-close]')) {
    dialog.close();
  }
});

// --- copying, the theme ----------------------------------------------------------------------------------------------------

async function copy(button) {
  const source = button.dataset.copy ? document.querySelector(button.dataset.copy) : button.previousElementSibling;
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
  } catch {
    getSelection().selectAllChildren(source); // without https a page may not write to the clipboard
    say('Selected: copy it with the keyboard.');
  }
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme === 'auto' ? matchMedia('(prefers-color-scheme: dark)').matches : root.dataset.theme === 'dark';
  root.dataset.theme = dark ? 'light' : 'dark';
  document.cookie = `modelyard_theme=${root.dataset.theme}; path=/console; max-age=31536000; samesite=lax`;
  document.dispatchEvent(new CustomEvent('theme'));
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.hasAttribute('data-copy')) {
    copy(button);
  } else if (button?.hasAttribute('data-theme-toggle')) {
    toggleTheme();
  }
});
