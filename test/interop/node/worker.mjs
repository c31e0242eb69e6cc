// A worker: the Node side of the protocol that worker_test.go describes.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import Redis from 'ioredis';

// serve runs the worker with a library, which is
//
//	make(clients, retry)     a locker with those retry options
//	lock(locker, key, ttl)   a promise of a lock, which has extend(ttl)
//	unlock(lock)             a promise
//	Refusal                  the class of the errors that mean no
//
// Any other error ends the process.
export async function serve(library) {
  const clients = process.argv.slice(2).map((addr) => new Redis(`redis://${addr}`));
  const once = library.make(clients, { retryCount: 0 });
  let held;

  const commands = {
    lock: async (key, ttl) => { held = await library.lock(once, key, Number(ttl)); },
    extend: async (ttl) => { held = await held.extend(Number(ttl)); },
    unlock: () => library.unlock(held),
    contend: (key, ttl, delay) => contend(library, clients, key, Number(ttl), Number(delay)),
  };

  for (;;) {
    const [name, ...args] = (await hear()).split(' ');
    const refusal = await refused(library, commands[name](...args));
    say(refusal ? `no ${refusal.message}` : 'ok');
  }
}

async function contend(library, clients, key, ttl, delay) {
  const locker = library.make(clients, { retryCount: 100, retryDelay: delay, retryJitter: delay });
  const pause = () => sleep(2 * delay * Math.random());

  for (;; await pause()) {
    let lock;
    const attempt = library.lock(locker, key, ttl).then((granted) => { lock = granted; });
    if (await refused(library, attempt)) continue;

    say('enter');
    const over = await hear() === 'over';
    if (!over) {
      say('leave');
      await hear();
    }
    await library.unlock(lock);
    if (over) return;
  }
}

// refused returns the refusal that a promise came to, if it did.
async function refused(library, promise) {
  try {
    await promise;
  } catch (err) {
    if (err instanceof library.Refusal) return err;
    throw err;
  }
}

const input = createInterface({ input: process.stdin });
input.on('close', () => process.exit(0)); // the test is over, or gone
const lines = input[Symbol.asyncIterator]();

const hear = async () => (await lines.next()).value;
const say = (line) => process.stdout.write(`${line}\n`);
