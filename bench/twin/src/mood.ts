// The mood of a relationship. Levels are stored as they were when they last moved, and decay on read.

/** The columns of a mood, all NULL or none. */
export interface MoodRow {
  valence: number | null;
  arousal: number;
  tension: number;
  affiliation: number;
  baseline_valence: number;
  baseline_arousal: number;
  baseline_tension: number;
  baseline_affiliation: number;
  mood_created_at: string;
  mood_updated_at: string;
  mood_decayed_at: string;
  mood_interaction_at: string;
}

export const MOOD_COLUMNS = `r.valence, r.arousal, r.tension, r.affiliation, r.baseline_valence, r.baseline_arousal,
  r.baseline_tension, r.baseline_affiliation, r.mood_created_at, r.mood_updated_at, r.mood_decayed_at,
  r.mood_interaction_at`;

export interface Decay {
  now: number;
  /** The same, as it is sent. */
  nowText: string;
  halfLifeMs: number;
}

export function decayAt(now: number, halfLifeHours: string | undefined): Decay {
  return { now, nowText: new Date(now).toISOString(), halfLifeMs: Number(halfLifeHours ?? 24) * 3_600_000 };
}

export function mood(row: MoodRow, agentId: string, userId: string, decay: Decay) {
  if (row.valence === null) return undefined;
  const elapsedMs = Math.max(0, decay.now - Date.parse(row.mood_decayed_at));
  const factor = 2 ** (-elapsedMs / decay.halfLifeMs);
  const level = (value: number, baseline: number) =>
    Math.round((baseline + (value - baseline) * factor) * 1_000_000) / 1_000_000;
  const valence = level(row.valence, row.baseline_valence);
  const arousal = level(row.arousal, row.baseline_arousal);
  return {
    agent_id: agentId,
    user_id: userId,
    valence,
    arousal,
    tension: level(row.tension, row.baseline_tension),
    affiliation: level(row.affiliation, row.baseline_affiliation),
    baseline_valence: row.baseline_valence,
    baseline_arousal: row.baseline_arousal,
    baseline_tension: row.baseline_tension,
    baseline_affiliation: row.baseline_affiliation,
    label: label(valence, arousal),
    created_at: row.mood_created_at,
    updated_at: row.mood_updated_at,
    last_decay_at: elapsedMs > 0 ? decay.nowText : row.mood_decayed_at,
    last_interaction_at: row.mood_interaction_at,
  };
}

/** The tangent of 22.5°, half of the angle between an axis and a diagonal. */
const SECTOR_SLOPE = 0.414214;
const NEUTRAL_BELOW = 0.1;

/** Where valence and arousal lie on the circle of Russell's circumplex model: a neutral centre and eight sectors. */
function label(valence: number, arousal: number): string {
  const pleasure = Math.abs(valence);
  const activation = Math.abs(arousal);
  if (pleasure < NEUTRAL_BELOW && activation < NEUTRAL_BELOW) return "neutral";
  if (activation < pleasure * SECTOR_SLOPE) return valence > 0 ? "happy" : "unhappy";
  if (pleasure < activation * SECTOR_SLOPE) return arousal > 0 ? "alert" : "tired";
  if (arousal > 0) return valence > 0 ? "excited" : "distressed";
  return valence > 0 ? "content" : "sad";
}
