"""The server under load, beside the same documents without it, in one run.

    make bench-serve          # or: python benchmarks/serve.py --data FOLDER --documents 400

Clients are threads of a process of their own. Each sends one document, waits for its topic, and sends the next: the
case that batching across clients is for. The rate without the server is that of `TopicGenerator.generate` on all
documents at once, before and after, in a process of its own. All on the loopback; documents as in generate_cpu.py.
"""

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from generate_cpu import load_documents

LEAST_SHARE = 0.8  # of the offline rate, with the most clients


def offline(texts: list[str], threads: int | None) -> float:
    """Documents a second of the generator alone."""
    from topicgen import TopicGenerator

    generator = TopicGenerator.load("mini", threads=threads)
    generator.generate(texts[:2])
    began = time.perf_counter()
    generator.generate(texts)
    return len(texts) / (time.perf_counter() - began)


def load(port: int, texts: list[str], clients: int) -> dict[str, object]:
    """Latencies and statuses of all requests, by so many clients."""
    rest, lock = iter(texts), threading.Lock()
    seconds: list[float] = []
    statuses: Counter[str] = Counter()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        while True:
            with lock:
                text = next(rest, None)
            if text is None:
                return
            began = time.perf_counter()
            connection.request(
                "POST", "/v1/topics", json.dumps({"documents": text}), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            response.read()
            seconds.append(time.perf_counter() - began)
            statuses[str(response.status)] += 1

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(seconds) / (time.perf_counter() - began)
    cuts = statistics.quantiles(seconds, n=100)
    return {"clients": clients, "rate": rate, "p50": cuts[49], "p99": cuts[98], "statuses": dict(statuses)}


@contextmanager
def server(threads: int | None):
    """The port of a real server, which must end with 0."""
    command = [sys.executable, "-m", "topicgen", "serve", "--port", "0"]
    command += ["--threads", str(threads)] if threads else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            yield int(re.search(r":(\d+)$", line.strip())[1])
            process.send_signal(signal.SIGTERM)
            if process.wait(60):
                raise SystemExit(f"the server ended with {process.returncode}")
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with topics.parquet, or JSON lines")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--run", choices=["offline", "load"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    texts = [text for text, _ in load_documents(args.data, args.documents)]
    if args.run == "offline":
        print(json.dumps(offline(texts, args.threads)))
        return
    if args.run == "load":
        print(json.dumps(load(args.port, texts, args.clients[0])))
        return

    def child(*more: str) -> object:
        command = [sys.executable, __file__, "--documents", str(args.documents), *more]
        command += ["--data", str(args.data)] if args.data else []
        command += ["--threads", str(args.threads)] if args.threads else []
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    before = child("--run", "offline")
    with server(args.threads) as port:
        results = [child("--run", "load", "--port", str(port), "--clients", str(n)) for n in args.clients]
    after = child("--run", "offline")
    print(f"without the server: {before:.1f} documents/s before, {after:.1f} after; {os.cpu_count()} cores")
    print(f"{'clients':>8}{'documents/s':>13}{'of offline':>12}{'p50 ms':>9}{'p99 ms':>9}  statuses")
    for r in results:
        share = r["rate"] / statistics.mean([before, after])
        print(
            f"{r['clients']:>8}{r['rate']:>13.1f}{share:>12.0%}{1000 * r['p50']:>9.0f}{1000 * r['p99']:>9.0f}"
            f"  {r['statuses']}"
        )
    if any(status not in ("200", "503") for r in results for status in r["statuses"]):
        raise SystemExit("answers other than 200 and 503")
    if share < LEAST_SHARE:
        raise SystemExit(f"with {r['clients']} clients the server reaches less than {LEAST_SHARE:.0%}")


if __name__ == "__main__":
    main()
