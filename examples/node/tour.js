// A tour of a server: its models, an influence job, a hybrid, and a job that is cancelled.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { array, files } from './arrays.js';
import { line } from './errors.js';
import { result, watch } from './jobs.js';
import { call, connect, disconnect } from './connection.js';

const USAGE = `usage: node tour.js [OPTIONS]

  --server HOST:PORT   default: $GRAFTSCOPE_SERVER, or else 127.0.0.1:50051
  --ca FILE            the authority of the server's certificate, which turns on TLS;
                       default: $GRAFTSCOPE_CA
  --token-file FILE    your token; default: $GRAFTSCOPE_TOKEN
  --model NAME         default: the server's first
  --layer NAME         a layer's name, or coarse, intermediate, fine; default: coarse
  --pairs N            of originals, for the influence maps; default: 64
  --out DIR            where hybrid.png is written; default: .`;

const { values: options } = parseArgs({
  options: {
    server: { type: 'string', default: process.env.GRAFTSCOPE_SERVER || '127.0.0.1:50051' },
    ca: { type: 'string', default: process.env.GRAFTSCOPE_CA || '' },
    'token-file': { type: 'string', default: '' },
    model: { type: 'string', default: '' },
    layer: { type: 'string', default: 'coarse' },
    pairs: { type: 'string', default: '64' },
    out: { type: 'string', default: '.' },
    help: { type: 'boolean', short: 'h' },
  },
});

// What a server serves.
async function models(server) {
  const { models: found } = await call(server.models, 'listModels', {});
  for (const { name, bundle } of found) {
    const { width, height } = bundle.image;
    const layers = bundle.layers.map((layer) => `${layer.name} (${layer.channels})`);
    console.log(`${name}: images of ${width} x ${height}; channels of ${layers.join(', ')}`);
  }
  return found.map((each) => each.name);
}

// How much, and where, each channel of a layer changes the image. The call answers at once with a
// job; its result is a set of arrays, which are read only as they are needed.
async function influence(server, model) {
  const job = await call(server.analyses, 'influence', {
    model,
    layer: options.layer,
    pairs: { seed: 1, count: Number(options.pairs) },
  });
  const ended = await watch(server, job.name, ({ state, shardsDone, shardsTotal }) => {
    const told = state.replace('JOB_STATE_', '').toLowerCase();
    console.log(`influence: ${told}, ${shardsDone} of ${shardsTotal} shards`);
  });
  const found = result(ended);
  const maps = await array(server, found.maps); // (channels, height, width)
  const individual = await array(server, found.individual); // (channels,)
  const order = [...individual.elements.keys()].sort(
    (a, b) => individual.elements[b] - individual.elements[a],
  );
  const [, height, width] = maps.shape;
  for (const channel of order.slice(0, 3)) {
    const map = maps.elements.subarray(channel * height * width, (channel + 1) * height * width);
    const at = map.indexOf(map.reduce((most, each) => Math.max(most, each)));
    const share = individual.elements[channel] / found.rangeWidth;
    console.log(
      `channel ${channel} changes the image by ${(100 * share).toFixed(4)} % of its range,` +
        ` most at x ${at % width}, y ${Math.floor(at / width)}`,
    );
  }
  console.log(`maps: ${maps.shape.join(' x ')}, sha256 ${found.maps.artifact.sha256}`);
  return order;
}

// One sample with the strongest quarter of the channels' values from another.
async function hybrid(server, model, order) {
  const channels = order.slice(0, Math.ceil(order.length / 4)).sort((a, b) => a - b);
  const reply = await call(server.models, 'hybridize', {
    model,
    intervention: {
      edits: [{ layer: options.layer, channels: { indices: channels }, swap: { original2: {} } }],
    },
    pairs: { seed: 7, count: 1 },
    encoding: 'IMAGE_ENCODING_PNG',
  });
  const [png] = files(reply.hybrid);
  await mkdir(options.out, { recursive: true });
  const path = join(options.out, 'hybrid.png');
  await writeFile(path, png);
  console.log(`hybrid of ${channels.length} channels -> ${path}`);
}

// A job that is too long, and is ended as soon as it has begun. What it has done is kept: the same
// request would go on from there.
async function cancelled(server, model) {
  const { name } = await call(server.analyses, 'influence', {
    model,
    layer: options.layer,
    pairs: { seed: 2, count: 1_000_000 },
  });
  let asked = false;
  const ended = await watch(server, name, ({ shardsDone }) => {
    if (asked || !shardsDone) return;
    asked = true;
    call(server.operations, 'cancelOperation', { name }).catch(fail);
  });
  try {
    result(ended);
  } catch (error) {
    console.log(`cancelled: ${error.status}`);
  }
}

function fail(error) {
  console.error(`error: ${line(error)}`);
  process.exitCode = 1;
}

if (options.help) {
  console.log(USAGE);
} else {
  let server;
  try {
    const token = options['token-file']
      ? (await readFile(options['token-file'], 'utf8')).trim()
      : process.env.GRAFTSCOPE_TOKEN;
    server = connect(options.server, options.ca && (await readFile(options.ca)), token);
    const names = await models(server);
    const model = options.model ? `models/${options.model}` : names[0];
    const order = await influence(server, model);
    await hybrid(server, model, order);
    await cancelled(server, model);
  } catch (error) {
    fail(error);
  } finally {
    if (server) disconnect(server);
  }
}
