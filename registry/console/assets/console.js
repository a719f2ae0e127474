'use strict';

// What every page of the console does: the token that goes with each request, dialogs, errors where they belong, what is said
// aloud, copying, and the theme. It keeps nothing but the theme, and loads nothing by itself.

const csrf = document.querySelector('meta[name="csrf"]').content;
const dialog = document.getElementById('dialog');
const said = document.getElementById('said');

/** Put what is said where it can be seen and heard; moving it for nothing would repeat it. */
function bringSaid(place) {
  if (said.parentElement !== place) {
    place.append(said);
  }
}

/** Say something to everybody, for a while: in the open dialog, since all around it is out of reach. */
function say(text) {
  bringSaid(dialog.open ? dialog : document.body);
  const line = document.createElement('p');
  line.textContent = text;
  said.append(line);
  setTimeout(() => line.remove(), 6000);
}

// --- what htmx asks and gets ---------------------------------------------------------------------------------------------

document.addEventListener('htmx:config:request', (event) => {
  event.detail.ctx.request.headers['X-CSRF-Token'] = csrf;
});

/** Return the nearest place for an error: in the form, in the dialog, or on top of the page, also where the form is gone meanwhile. */
function placeOfError(source) {
  const near = source?.isConnected ? source.closest('[data-errors]') || source.closest('dialog') : null;
  const around = near || document.getElementById('main');
  let place = around.querySelector('[data-error]');
  if (!place) {
    place = document.createElement('div');
    place.dataset.error = '';
    around.prepend(place);
  }
  return place;
}

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
  Object.assign(ctx.hx, { retarget: placeOfError(ctx.sourceElement), reswap: 'innerHTML' });
  delete ctx.hx.reselect;
});

document.addEventListener('htmx:before:request', (event) => {
  const around = event.detail.ctx.sourceElement.closest('[data-errors], dialog');
  around?.querySelectorAll('[data-error]').forEach((place) => place.replaceChildren());
});

document.addEventListener('htmx:error', (event) => {
  const { ctx, error } = event.detail;
  if (!ctx || (ctx.response && error?.name !== 'TypeError' && ctx.request.signal.reason !== 'timeout')) {
    return; // not of the network
  }
  const late = ctx.request.signal.reason === 'timeout';
  const problem = document.createElement('p');
  problem.className = 'problem';
  problem.setAttribute('role', 'alert');
  problem.textContent = late
    ? 'The service has not answered for three minutes. Reload the page to see what came of it.'
    : 'The service could not be reached, or stopped before it answered. Reload the page to see what came of it, or try again.';
  const place = placeOfError(ctx.sourceElement);
  place.replaceChildren(problem);
  place.scrollIntoView({ block: 'nearest' });
});

// A form is sent once at a time, and tells that it is at work.
document.addEventListener(
  'submit',
  (event) => {
    if (event.target.getAttribute('aria-busy') === 'true') {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  },
  true,
);

function setBusy(form, busy) {
  if (form?.matches?.('form[hx-post]')) {
    form.setAttribute('aria-busy', String(busy));
    form.querySelectorAll('[type="submit"]').forEach((button) => button.setAttribute('aria-disabled', String(busy)));
  }
}

document.addEventListener('htmx:before:request', (event) => setBusy(event.detail.ctx.sourceElement, true));
document.addEventListener('htmx:finally:request', (event) => setBusy(event.detail.ctx.sourceElement, false));

// What is wrong comes into sight, however far the reader has gone on, and so does an answer.
document.addEventListener('htmx:finally:swap', (event) => {
  const { target } = event.detail.ctx;
  const part = target?.id ? document.getElementById(target.id) : null;
  const shown = target?.matches?.('[data-error]') ? target : part?.querySelector('[data-show]');
  shown?.scrollIntoView({ block: 'nearest' });
});

// What was pressed may be gone from the part that came instead: then the reader goes on at the beginning of that.
document.addEventListener('htmx:finally:swap', (event) => {
  const { target } = event.detail.ctx;
  const part = target?.id ? document.getElementById(target.id) : null;
  if (document.activeElement === document.body && part && !dialog.contains(part)) {
    part.tabIndex = -1;
    part.focus({ preventScroll: true });
  }
});

// --- the dialog ------------------------------------------------------------------------------------------------------------

let opener = null;

/** Put the focus into the first field; where that is further down than the dialog shows, on its title: else what stands above goes unread. */
function focusFirst(body) {
  const field = body.querySelector('[autofocus]') || body.querySelector('input:not([type=hidden]), textarea, select, button');
  field?.focus({ preventScroll: true });
  const title = body.querySelector('h2');
  if (field && title && field.getBoundingClientRect().bottom > dialog.getBoundingClientRect().bottom) {
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
  }
}

document.addEventListener('htmx:after:swap', (event) => {
  const body = document.getElementById('dialog-body');
  const { ctx } = event.detail;
  if (ctx.target === body || ctx.target?.id === 'dialog-body') {
    if (!dialog.open) {
      opener = ctx.sourceElement;
      dialog.showModal();
    }
    focusFirst(body);
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
  bringSaid(document.body);
  const back = opener?.isConnected ? opener : document.getElementById(opener?.id); // the page may have been made anew around it
  (back && !back.disabled ? back : document.getElementById('main')).focus();
  opener = null;
});

/** Tell whether a click fell beside the dialog, and not on its own edge: what stands in it may have moved under the pointer. */
function isOutside(event) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  const inside = event.clientX >= left && event.clientX <= right && event.clientY >= top && event.clientY <= bottom;
  return event.target === dialog && event.detail > 0 && !inside;
}

document.addEventListener('click', (event) => {
  if (isOutside(event) || event.target.closest('[data-close]')) {
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
