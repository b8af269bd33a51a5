// Arrays: inside a message, or read from the server in chunks.

import { createHash } from 'node:crypto';
import { crc32c } from '@aws-crypto/crc32c';

import { stream } from './connection.js';

const VIEWS = {
  UINT8: Uint8Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
};

/**
 * Read an array of a reply: its elements in C order (the last axis runs fastest), and its shape.
 *
 * A reply holds a small array itself, and names a large one by the sha256 of its bytes.
 */
export async function array(server, { tensor, artifact }) {
  const data = tensor ? tensor.data : await read(server, artifact.sha256);
  const { datatype, shape } = tensor ?? artifact;
  // A copy, since a view has to begin at a multiple of its elements' size. The bytes are
  // little-endian, as typed arrays are on every usual machine.
  const elements = new VIEWS[datatype](Uint8Array.from(data).buffer);
  return { elements, shape };
}

/** The files of a BYTES tensor, such as PNG: each follows its length in four bytes. */
export function files({ tensor: { data } }) {
  const found = [];
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32LE(at);
    found.push(data.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

/** Read an artifact's bytes. A stream that breaks could go on from `offset`, where it broke. */
async function read(server, sha256) {
  const chunks = [];
  for await (const { chunk } of stream(server.artifacts, 'readArtifact', { sha256, offset: 0 })) {
    if (crc32c(chunk.data) !== chunk.crc32c) {
      throw new Error(`a chunk of artifact ${sha256} was damaged on its way`);
    }
    chunks.push(chunk.data);
  }
  const data = Buffer.concat(chunks);
  if (createHash('sha256').update(data).digest('hex') !== sha256) {
    throw new Error(`artifact ${sha256} is not what its name says`);
  }
  return data;
}
