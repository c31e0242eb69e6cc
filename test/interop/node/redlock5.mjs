import Redlock, { ExecutionError } from 'redlock5';
import { serve } from './worker.mjs';

await serve({
  make: (clients, retry) => new Redlock(clients, retry),
  // One attempt a call: what a failed attempt was granted by a minority stays
  // until the call is over, and refuses the next attempts of everybody.
  lock: (redlock, key, ttl) => redlock.acquire(key.split(','), ttl, { retryCount: 0 }),
  unlock: (lock) => lock.release(),
  Refusal: ExecutionError,
});
