// Jobs: operations that a server computes while others call, and that outlive a connection.

import { setTimeout as sleep } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';

import { stream } from './connection.js';

const TRIES = 5;

/**
 * Follow a job to its end; gives the operation as it ended.
 *
 * @param {(progress: object) => void} [onProgress] hears of every change
 */
export async function watch(server, name, onProgress = () => {}) {
  for (let tries = 0; ; ) {
    try {
      for await (const { operation, progress } of stream(server.analyses, 'watchOperation', {
        name,
      })) {
        tries = 0;
        if (progress) onProgress(progress);
        if (operation?.done) return operation;
      }
    } catch (error) {
      // The job goes on where a connection breaks or a server ends, and a new watch begins with
      // the whole state. Behind a balancer it may be another server that answers.
      if (error.code !== grpc.status.UNAVAILABLE || ++tries > TRIES) throw error;
    }
    await sleep(1000);
  }
}

/** What a job came to, or an error where it failed or was cancelled. */
export function result({ name, error, response }) {
  if (error) {
    throw Object.assign(new Error(`${name} has no result: ${error.message}`), {
      code: error.code,
      status: grpc.status[error.code],
    });
  }
  return response;
}
