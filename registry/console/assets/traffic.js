'use strict';

// The charts of the page Traffic, drawn from the figures that the server put into the page, and the page's updating: every few
// seconds while somebody can see it. It asks for nothing itself: htmx does, when it hears `tick`.

(() => {
  const TICK_MS = 5000;
  const NAMES = ['requests', 'latency', 'errors', 'hits'];
  const charts = new Map();
  const count = new Intl.NumberFormat('en');

  const columns = () => JSON.parse(document.getElementById('traffic').dataset.columns);
  const figure = (name) => document.querySelector(`[data-chart="${name}"]`);

  function seriesOf(name) {
    return [...figure(name).querySelectorAll('[data-series]')].map((line) => {
      const style = getComputedStyle(line);
      const dash = style.strokeDasharray === 'none' ? [] : style.strokeDasharray.split(/[ ,]+/).map(parseFloat);
      return { id: line.dataset.series, text: line.dataset.text, stroke: style.stroke, dash };
    });
  }

  // A long step that is under way would look like a fall; of minutes it is the newest that people wait for.
  function dataOf(name, found) {
    const isLong = found.at.length > 1 && found.at[1] - found.at[0] > 60;
    const drawn = (values) => (isLong ? [...values.slice(0, -1), null] : values);
    return [found.at, ...seriesOf(name).map((one) => drawn(found[one.id]))];
  }

  function shownValue(name, value) {
    if (value === null || value === undefined) {
      return '–';
    }
    return name === 'latency' ? shownTime(value) : count.format(value);
  }

  const shownTime = (ms) => (ms >= 1000 ? `${+(ms / 1000).toPrecision(3)} s` : `${+ms.toPrecision(3)} ms`);

  function shownMoment(seconds, withDay) {
    const text = new Date(1000 * seconds).toISOString();
    const time = text.slice(11, 16);
    const day = new Date(1000 * seconds).toLocaleDateString('en', { month: 'short', day: 'numeric', timeZone: 'UTC' });
    return withDay ? `${day}, ${time}` : time;
  }

  const axisTimes = (_plot, splits, _axis, _space, step) =>
    splits.map((at) => (step >= 86400 || at % 86400 === 0 ? shownMoment(at, true).split(',')[0] : shownMoment(at, false)));

  // A line needs two points: one that stands alone is drawn as a dot.
  function lonely(plot, series) {
    const values = plot.data[series];
    const isThere = (at) => values[at] !== null && values[at] !== undefined;
    return [...values.keys()].filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
  }

  function options(name, place) {
    const style = getComputedStyle(document.body);
    const muted = getComputedStyle(figure(name).querySelector('.legend')).color;
    const line = getComputedStyle(document.querySelector('.card')).borderTopColor;
    const font = `12px ${style.fontFamily}`;
    const axis = { stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
    const series = seriesOf(name).map((one) => ({
      label: one.text,
      stroke: one.stroke,
      width: 2,
      dash: one.dash,
      points: { show: true, size: 5, fill: one.stroke, filter: lonely },
    }));
    return {
      width: place.clientWidth,
      height: place.clientHeight,
      padding: [8, 26, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(1000 * at), 'Etc/UTC'),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'traffic' } },
      scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? 1.08 * most : 1] } },
      axes: [
        { ...axis, values: axisTimes, space: 60, size: 28 },
        {
          ...axis,
          size: 58,
          space: 28,
          incrs: name === 'latency' ? undefined : [1, 2, 5].flatMap((one) => [...Array(12).keys()].map((power) => one * 10 ** power)).sort((a, b) => a - b),
          values: (_plot, splits) => splits.map((value) => shownValue(name, value)),
        },
      ],
      series: [{}, ...series],
      hooks: { setCursor: [(plot) => readOut(name, plot)] },
    };
  }

  function readOut(name, plot) {
    const newest = plot.data[0].length - 1;
    const at = plot.cursor.idx ?? newest - 1; // without a pointer the last step that is over
    const place = document.getElementById(`readout-${name}`);
    const last = at === newest ? ' (so far)' : '';
    const values = plot.series.slice(1).map((one, number) => `${one.label} ${shownValue(name, plot.data[number + 1][at])}`);
    place.textContent = `${shownMoment(plot.data[0][at], true)} UTC${last}: ${values.join(', ')}`;
  }

  function draw() {
    const found = columns();
    NAMES.forEach((name) => {
      const place = document.getElementById(`plot-${name}`);
      if (!place.clientWidth) {
        return; // hidden, since there is nothing to draw
      }
      if (charts.has(name)) {
        charts.get(name).setData(dataOf(name, found));
        readOut(name, charts.get(name));
      } else {
        charts.set(name, new uPlot(options(name, place), dataOf(name, found), place));
        readOut(name, charts.get(name));
      }
      place.setAttribute('aria-label', figure(name).dataset.label);
    });
  }

  function drawAnew() {
    charts.forEach((chart) => chart.destroy());
    charts.clear();
    draw();
  }

  new ResizeObserver(() => {
    charts.forEach((chart, name) => {
      const place = document.getElementById(`plot-${name}`);
      if (place.clientWidth) {
        chart.setSize({ width: place.clientWidth, height: place.clientHeight });
      }
    });
    draw();
  }).observe(document.getElementById('charts'));

  // --- updating ------------------------------------------------------------------------------------------------------------

  let ticks = 0;
  let opened = false;

  function tick() {
    if (document.hidden) {
      return;
    }
    htmx.trigger(document.getElementById('memory'), 'tick');
    if (ticks % 2 === 0) {
      htmx.trigger(document.getElementById('traffic'), 'tick');
    }
    ticks += 1;
  }

  const isOwn = (event) => ['memory', 'traffic'].includes(event.target.id);
  const setStale = (stale) => document.getElementById('stale').toggleAttribute('hidden', !stale);

  setInterval(tick, TICK_MS);
  document.addEventListener('visibilitychange', () => {
    ticks = 0;
    tick();
  });
  document.addEventListener('htmx:before:swap', () => {
    opened = Boolean(document.getElementById('figures')?.open);
  });
  document.addEventListener('htmx:after:swap', (event) => {
    document.getElementById('figures')?.toggleAttribute('open', opened);
    if (isOwn(event)) {
      setStale(false);
      document.querySelectorAll('#main > [data-error]').forEach((place) => place.replaceChildren());
      draw();
    }
  });
  // A service that is away for a moment is said once, not with every question.
  document.addEventListener(
    'htmx:error',
    (event) => {
      if (isOwn(event)) {
        event.stopImmediatePropagation();
        setStale(true);
      }
    },
    true,
  );
  document.addEventListener('theme', drawAnew);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAnew);
  draw();
})();
