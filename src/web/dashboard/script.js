// Keeps a page up to date, and previews a schedule while it is typed. Every page works without it.
const EVERY_MS = 5000;
const PAUSE_MS = 300;

// A one-time link holds its code behind the #, where no server and no log sees it.
const code = location.hash.startsWith('#code=') ? location.hash.slice(6) : '';
if (code) {
  history.replaceState(null, '', location.pathname + location.search);
  const form = document.createElement('form');
  const input = document.createElement('input');
  form.method = 'post';
  form.action = '/dashboard/sign-in';
  input.type = 'hidden';
  input.name = 'code';
  input.value = code;
  form.append(input);
  document.body.append(form);
  form.submit();
}

const parsed = (text) => new DOMParser().parseFromString(text, 'text/html');

// The words of the server: "5 min ago", "in 3 h".
function relative(then, now) {
  const seconds = Math.round((then - now) / 1000);
  const size = Math.abs(seconds);
  const [unit, length] = size < 60 ? ['s', 1] : size < 3600 ? ['min', 60] : size < 172800 ? ['h', 3600] : ['d', 86400];
  const count = Math.floor(size / length);
  return seconds < 0 || Object.is(seconds, -0) ? `${count} ${unit} ago` : `in ${count} ${unit}`;
}

// The browser's clock may be wrong; the page says what time it is at the server.
const offset = Date.parse(document.documentElement.dataset.now) - Date.now();

function age() {
  const now = Date.now() + offset;
  for (const time of document.querySelectorAll('time[data-relative]')) {
    time.textContent = relative(Date.parse(time.dateTime), now);
  }
}

function isBusy() {
  const main = document.querySelector('main');
  const focused = document.activeElement;
  return document.hidden
    || (focused && focused.matches('input, select, textarea'))
    || main.querySelector('input:checked, details[open]')
    || !getSelection().isCollapsed;
}

// The style sheet says that the page may be out of date.
const markStale = (isStale) => document.documentElement.toggleAttribute('data-stale', isStale);

// What can have the focus, and by what it is found again when rows have come or gone.
const places = 'a, button, summary, [tabindex]';
const keyOf = (it) => [it.tagName, it.href ?? it.getAttribute('formaction') ?? it.form?.action, it.value].join(' ');
const alike = (root, key) => [...root.querySelectorAll(places)].filter((it) => keyOf(it) === key);

async function refresh() {
  const main = document.querySelector('main[data-version]');
  if (!main || isBusy()) return;
  const headers = { 'If-None-Match': `"${main.dataset.version}"` };
  const answer = await fetch(location.href, { headers, cache: 'no-store', redirect: 'manual' });
  // The session is over, or what the page shows is gone.
  if (answer.type === 'opaqueredirect' || answer.status === 404) return location.reload();
  markStale(answer.status >= 500);
  if (answer.status !== 200) return;
  const next = parsed(await answer.text()).querySelector('main[data-version]');
  if (!next || isBusy()) return;
  const focused = document.activeElement;
  const key = main.contains(focused) && keyOf(focused);
  const place = key ? alike(main, key).indexOf(focused) : -1;
  // At its end, 0, an output follows what is printed. Elsewhere it stays where it is read.
  const before = main.querySelector('.output');
  const [scrolled, height] = [before?.scrollTop, before?.scrollHeight];
  main.replaceWith(document.adoptNode(next));
  if (key) (alike(next, key)[place] ?? next).focus({ preventScroll: true });
  const output = next.querySelector('.output');
  if (output && scrolled) output.scrollTop = scrolled - (output.scrollHeight - height);
}

if (document.querySelector('main[data-version]')) {
  setInterval(() => refresh().catch(() => markStale(true)), EVERY_MS);
}
setInterval(age, 1000);

// The preview of a schedule.
const preview = document.getElementById('preview');
const form = preview?.closest('form');
if (form) {
  let timer;
  let last = 0;
  form.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++last;
      const body = new URLSearchParams(new FormData(form));
      body.set('do', 'preview');
      try {
        const answer = await fetch(form.action, { method: 'POST', body, redirect: 'error' });
        const next = parsed(await answer.text()).getElementById('preview');
        if (mine === last && next) preview.replaceChildren(...document.adoptNode(next).childNodes);
      } catch {
        // The button does the same.
      }
    }, PAUSE_MS);
  });
}
