// What the page asks of its server, and what went wrong in words.

// Without user name and password, which the address of the page may hold and fetch refuses.
const base = new URL(location.pathname, location.origin);

export class Failure extends Error {
  constructor(message, { status = 0, seconds = 0 } = {}) {
    super(message);
    Object.assign(this, { status, seconds });
  }

  // Whether the same request may succeed later: the server was busy, stopping or not reached.
  get passing() {
    return this.status === 0 || this.status === 503;
  }
}

export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(new URL(path, base), { ...options, credentials: "same-origin", redirect: "error" });
  } catch (error) {
    throw unreached(error);
  }
  if (answer.ok) return answer;
  const seconds = Number(answer.headers.get("Retry-After")) || 0;
  throw new Failure(await reason(answer), { status: answer.status, seconds });
}

export async function askJson(path, options) {
  const answer = await ask(path, options);
  try {
    return await answer.json();
  } catch (error) {
    throw unreached(error);
  }
}

// The JSON lines of an answer, many at a time, as they come.
export async function* askLines(path, options) {
  const reader = (await ask(path, options)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      const lines = (rest + (value ?? "")).split("\n");
      rest = done ? "" : lines.pop();
      const rows = lines.filter(Boolean).map((line) => JSON.parse(line));
      if (rows.length) yield rows;
      if (done) return;
    }
  } catch (error) {
    throw unreached(error);
  } finally {
    reader.cancel().catch(() => {}); // a reader that left early frees its place in the server's queue
  }
}

function unreached(error) {
  if (error instanceof Failure || error.name === "AbortError") return error;
  return new Failure("The server cannot be reached. Is it still running?");
}

async function reason(answer) {
  if (answer.status === 401) return "The server wants its token: reload this page and enter the token as the password.";
  let told = "";
  try {
    told = (await answer.json()).error.message;
  } catch {
    told = `the answer was ${answer.status} ${answer.statusText}`.trim();
  }
  return answer.status === 503 ? `The server is busy: ${told}.` : told;
}
