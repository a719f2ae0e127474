'use strict';

// Asks for the key where one is needed, fetches the document with it, and shows it. The key stays in this page's memory:
// it goes into no address, no storage and no cookie.

const ask = document.getElementById('ask');
const field = document.getElementById('key');
const refused = document.getElementById('refused');

async function fetchDocument(key) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch('/openapi.json', { headers, cache: 'no-store' });
  const body = await answer.json();
  if (!answer.ok) {
    throw new Error(body.detail || body.title);
  }
  return body;
}

function show(description, key) {
  ask.hidden = true;
  const page = window.SwaggerUIBundle({
    spec: description,
    domNode: document.getElementById('api'),
    deepLinking: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    validatorUrl: null,
    onComplete: () => key && page.preauthorizeApiKey('key', key),
  });
}

async function open(key) {
  try {
    show(await fetchDocument(key), key);
  } catch (error) {
    ask.hidden = false;
    refused.textContent = key ? error.message : '';
    field.focus();
  }
}

ask.addEventListener('submit', (event) => {
  event.preventDefault();
  open(field.value.trim());
});

if (document.body.dataset.asks === 'yes') {
  ask.hidden = false;
  field.focus();
} else {
  open('');
}
