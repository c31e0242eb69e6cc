import Redlock from 'bull-redlock';
import { serve } from './worker.mjs';

await serve({
  make: (clients, retry) => new Redlock(clients, retry),
  lock: (redlock, key, ttl) => redlock.lock(key, ttl),
  unlock: (lock) => lock.unlock(),
  Refusal: Redlock.LockError,
});
