// Admissions with easy bounds, and a short way to ask them.
import { Admission, type AdmissionOptions, type AdmissionRequest, type Permit } from "../admission.ts";
import type { Clock } from "../clock.ts";
import type { Requester } from "../queue-bounds.ts";

export type Ask = Partial<AdmissionRequest & Requester>;

/** One slot, a hundred places, a thousand tokens, and all slots for batch work, unless told otherwise. */
export function openAdmission(clock: Clock, options: Partial<AdmissionOptions> = {}): Admission {
  return new Admission({
    slots: () => 1,
    isReady: () => true,
    queueDepthMax: 100,
    queueTokensMax: 1_000,
    batchSlotsPercent: 100,
    clock,
    ...options,
  });
}

/** Reserves a place and has it admitted: one token of interactive work of the tenant "", unless told otherwise. */
export function ask(to: Admission, { tenant = "", priority = "interactive", ...more }: Ask = {}): Permit {
  const { signal } = new AbortController();
  const place = to.reserve({ tenant, priority });
  try {
    return place.admit({ tokens: 1, signal, deadlineAt: undefined, ...more });
  } finally {
    place.leave();
  }
}
