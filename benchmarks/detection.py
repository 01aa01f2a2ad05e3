"""Detection beside PCA, full-rank T² and an isolation forest, on Tennessee Eastman, SKAB and NAB; rates of each member.

One set of default settings for all; limits from training rows only; no point adjustment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from anlan.science.detection.bench import FaultResult, episodes, judge_fault, judge_rows, judge_window
from anlan.science.detection.covariance import blocks_of
from anlan.science.detection.ensemble import Settings, fit
from anlan.science.detection.linear import Pca
from anlan.science.detection.members import DEFAULT_MEMBERS, make_member
from anlan.science.detection.protocol import Notes, Table

Alarms = dict[str, NDArray[np.bool_]]
HARD = (3, 9, 15)
"""Faults of Tennessee Eastman that leave no mark in these data; reported as they are, not in the means."""
SHARE = 0.01
MINUTE, HOUR = 60_000_000, 3_600_000_000

PUBLISHED = {
    "tep": {
        "PCA T²/SPE, 21 faults, limits from the normal test run (Chiang, Russell & Braatz 2001)": "about 65 %",
        "subspace methods (Yin et al., J. Process Control 22, 2012)": "about 90 % on faults 5, 10, 16-20",
    },
    "skab": {
        "Conv-AE, all experiments (SKAB leaderboard)": {"f1": 0.78, "far": 0.1355, "mar": 0.2802},
        "MSET, all experiments (SKAB leaderboard)": {"f1": 0.78, "far": 0.3973, "mar": 0.1413},
        "T²+Q, all experiments (SKAB leaderboard)": {"f1": 0.76, "far": 0.2662, "mar": 0.2492},
        "isolation forest, all experiments (SKAB leaderboard)": {"f1": 0.29},
    },
    "nab": {
        "ARTime, whole corpus, standard profile (NAB scoreboard)": 74.9,
        "HTM, whole corpus, standard profile (NAB scoreboard)": 70.5,
        "windowed Gaussian, whole corpus, standard profile (NAB scoreboard)": 39.6,
    },
}


def run(
    data: Path, sets: tuple[str, ...] = ("tep", "skab", "nab", "rates"), progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Return the tables of the sets asked for.

    Args:
        data: folder that holds ``process/tep`` and so on.
        sets: any of tep, skab, nab, rates.
        progress: takes a line of text now and then.
    """
    parts = {"tep": tennessee_eastman, "skab": skab, "nab": nab, "rates": lambda _, tell: rates(tell)}
    result: dict[str, Any] = {"settings": {"false_alarm_share": SHARE, "members": list(DEFAULT_MEMBERS)}}
    # One thread: figures are per core, and small matrices run faster so.
    with threadpool_limits(1):
        for name in sets:
            started = time.perf_counter()
            result[name] = parts[name](data / "process", progress)
            result[name]["seconds"] = round(time.perf_counter() - started, 1)
            if name in PUBLISHED:
                result[name]["published"] = PUBLISHED[name]
    return result


def compare(train: Table, tests: list[Table]) -> list[Alarms]:
    """Return the alarms of the ensemble and its peers on each table, all fitted on ``train``."""
    ensemble = fit(train, Settings(false_alarm_share=SHARE))
    start, _ = ensemble.update(ensemble.start(), train.time, train.values)
    follows = [test.time[0] > train.time[-1] for test in tests]
    center, spread = np.nanmean(train.values, axis=0), np.nanstd(train.values, axis=0)
    keep = spread > 0

    def standard(table: Table) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.nan_to_num((table.values[:, keep] - center[keep]) / spread[keep])
        return result

    peers = {"pca": _pca, "t2": _full_rank, "isolation_forest": _forest}
    judges = {name: make(standard(train)) for name, make in peers.items()}
    result = []
    for test, follow in zip(tests, follows, strict=True):
        _, scores = ensemble.update(start if follow else ensemble.start(), test.time, test.values)
        result.append({"anlan": scores.alarm} | {name: judge(standard(test)) for name, judge in judges.items()})
    return result


def _limit(train: NDArray[np.float64], score: Callable[..., NDArray[np.float64]], share: float) -> Any:
    """Return the quantile of scores of ten held-out blocks: limits of peers from training rows only, as ours."""
    held = []
    for start, end in blocks_of(len(train), 10):
        held.append(score(np.concatenate((train[:start], train[end:])), train[start:end]))
    return np.quantile(np.concatenate(held), 1 - share, axis=0)


def _pca(train: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    def score(known: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
        t2, spe, _ = Pca().fit(known, Notes()).statistics(new)
        return np.stack((t2, spe), axis=1)

    limits = _limit(train, score, SHARE / 2)
    return lambda new: np.asarray((score(train, new) > limits).any(axis=1))


def _full_rank(train: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    def score(known: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
        precision = np.linalg.pinv(np.atleast_2d(np.cov(known.T)))
        away = new - known.mean(axis=0)
        result: NDArray[np.float64] = np.einsum("ij,jk,ik->i", away, precision, away)
        return result

    limit = _limit(train, score, SHARE)
    return lambda new: np.asarray(score(train, new) > limit)


def _forest(train: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    from sklearn.ensemble import IsolationForest

    def score(known: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
        forest = IsolationForest(n_estimators=100, random_state=0).fit(known)
        return np.asarray(-forest.score_samples(new))

    limit = _limit(train[:: max(len(train) // 2000, 1)], score, SHARE)
    final = IsolationForest(n_estimators=100, random_state=0).fit(train)
    return lambda new: np.asarray(-final.score_samples(new) > limit)


def read_tep(folder: Path, part: str) -> dict[int, tuple[Table, NDArray[np.bool_]]]:
    """Return each fault's table and the rows in which it is active."""
    frame = pq.read_table(folder / "tep" / f"tep_{part}.parquet").to_pydict()
    names = tuple(name for name in frame if name.startswith(("xmeas", "xmv")))
    values = np.column_stack([np.asarray(frame[name], np.float64) for name in names])
    fault, sample = np.asarray(frame["fault"]), np.asarray(frame["sample"], np.int64)
    active = np.asarray(frame["fault_active"]).astype(bool)
    return {
        int(number): (
            Table(names, sample[fault == number] * 3 * MINUTE, values[fault == number]),
            active[fault == number],
        )
        for number in np.unique(fault)
    }


def tennessee_eastman(folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return per-fault detection, delay (rows of 3 minutes) and false alarms, all fitted on the normal training run."""
    progress("Tennessee Eastman: fitting on 500 normal rows")
    train = read_tep(folder, "train")[0][0]
    test = read_tep(folder, "test")
    alarms = compare(train, [table for table, _ in test.values()])
    table: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for name in alarms[0]:
        seen: dict[int, FaultResult] = {}
        for (fault, (_, active)), said in zip(test.items(), alarms, strict=True):
            if fault:
                seen[fault] = judge_fault(said[name], active)
                table.setdefault(str(fault), {})[name] = {
                    "detection": round(seen[fault].detection, 4),
                    "delay": seen[fault].delay,
                    "delay_three": seen[fault].delay_three,
                    "false_alarm": round(seen[fault].false_alarm, 4),
                }
        judged = [one for fault, one in seen.items() if fault not in HARD]
        normal = [said[name] for fault, said in zip(test, alarms, strict=True) if fault == 0]
        summary[name] = {
            "mean_detection": round(float(np.mean([one.detection for one in judged])), 4),
            "mean_delay_rows": round(float(np.mean([one.delay for one in judged])), 1),
            "mean_delay_three_in_a_row": round(float(np.mean([one.delay_three for one in judged])), 1),
            "false_alarm_normal_run": round(float(normal[0].mean()), 4) if normal else None,
            "false_alarm_before_faults": round(float(np.mean([one.false_alarm for one in seen.values()])), 4),
        }
    return {"without_3_9_15": summary, "faults": table}


def read_skab(folder: Path) -> dict[str, tuple[Table, NDArray[np.bool_]]]:
    """Return each experiment's table and the anomalous rows."""
    frame = pq.read_table(folder / "skab" / "skab_experiments.parquet").to_pydict()
    names = tuple(name for name in frame if name not in ("experiment", "datetime", "anomaly", "changepoint"))
    values = np.column_stack([np.asarray(frame[name], np.float64) for name in names])
    at = np.array([str(text).replace(" ", "T") for text in frame["datetime"]], "datetime64[us]").astype(np.int64)
    experiment, anomaly = np.asarray(frame["experiment"]), np.asarray(frame["anomaly"], np.float64) > 0
    return {
        str(name): (Table(names, at[experiment == name], values[experiment == name]), anomaly[experiment == name])
        for name in dict.fromkeys(frame["experiment"])
    }


def skab(folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return pooled F1, FAR and MAR: trained on the first 400 rows of each experiment, the rest scored."""
    said: dict[str, list[NDArray[np.bool_]]] = {}
    truth = []
    experiments = read_skab(folder)
    for number, (name, (table, anomaly)) in enumerate(experiments.items()):
        if number % 5 == 0:
            progress(f"SKAB: experiment {name}, {number + 1} of {len(experiments)}")
        train, test = table.rows(0, 400), table.rows(400, len(table))
        alarms = compare(train, [test])[0] | {"t2_q_times_3": _t2_q(train.values, test.values)}
        for method, rows in alarms.items():
            said.setdefault(method, []).append(rows)
        truth.append(anomaly[400:])
    result = {}
    for method, parts in said.items():
        judged = judge_rows(np.concatenate(parts), np.concatenate(truth))
        result[method] = {
            "f1": round(judged.f1, 4), "far": round(judged.false_alarm, 4), "mar": round(judged.missed, 4)
        }  # fmt: skip
    return {"experiments": len(experiments), "pooled": result}


def _t2_q(train: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.bool_]:
    """T² or Q above 3 times the 99 % quantile of the training rows, median of 3 alarms, as often done on this set."""
    center, spread = train.mean(axis=0), np.where(train.std(axis=0) > 0, train.std(axis=0), 1.0)
    model = Pca().fit((train - center) / spread, Notes())
    known, new = (np.stack(model.statistics((rows - center) / spread)[:2], axis=1) for rows in (train, test))
    alarm = (new > 3 * np.quantile(known, 0.99, axis=0)).any(axis=1)
    padded = np.concatenate((alarm[:1], alarm, alarm[-1:])).astype(int)
    return np.asarray(padded[:-2] + padded[1:-1] + padded[2:] >= 2)


def nab(folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return each labelled failure of the machine temperature with its lead time; trained on the first 15 %."""
    progress("NAB: machine temperature")
    frame = pq.read_table(folder / "nab" / "nab_series.parquet").to_pydict()
    labels = json.loads((folder / "nab" / "nab_labels.json").read_text())
    name = next(key for key in labels if "machine_temperature" in key)
    mine = np.asarray(frame["series"]) == name
    at = np.array([str(text).replace(" ", "T") for text in np.asarray(frame["timestamp"])[mine]], "datetime64[us]")
    table = Table(("temperature",), at.astype(np.int64), np.asarray(frame["value"], np.float64)[mine][:, None])
    probation = int(0.15 * len(table))
    test = table.rows(probation, len(table))
    alarms = compare(table.rows(0, probation), [test])[0]
    failures: dict[str, Any] = {}
    outside = np.ones(len(test), np.bool_)
    for label, window in zip(labels[name]["labels"], labels[name]["windows"], strict=True):
        first, last, event = (
            int(np.datetime64(text.replace(" ", "T"), "us").astype(np.int64)) for text in (*window, label)
        )
        outside &= ~((test.time >= first) & (test.time <= last))
        for method, said in alarms.items():
            seen = judge_window(test.time, said, (first, last), event)
            failures.setdefault(label, {})[method] = (
                "in the training part"
                if seen is None
                else {
                    "found": seen.found,
                    "lead_hours": round(seen.lead / HOUR, 2) if seen.found else None,
                    "share_of_window": round(seen.share, 3),
                }
            )
    false = {
        method: {"share": round(float(said[outside].mean()), 4), "episodes": episodes(said & outside)}
        for method, said in alarms.items()
    }
    return {"failures": failures, "alarms_outside_windows": false}


def rates(progress: Callable[[str], None]) -> dict[str, Any]:
    """Return values a second of each member on 50 variables, one thread, rows in batches of 2,000 and one by one."""
    generator = np.random.default_rng(1)
    mixing = generator.standard_normal((50, 50)) / 7
    train, stream = (generator.standard_normal((rows, 50)) @ mixing for rows in (2_000, 20_000))
    table: dict[str, Any] = {}
    for name in (
        "t2",
        "lagged_t2",
        "smoothed_t2",
        "pca",
        "forecast",
        "residual_chart",
        "variance",
        "cusum",
        "cva",
        "isolation_forest",
        "half_space_trees",
    ):
        try:
            member = make_member(name).fit(train, Notes())
        except (ImportError, AttributeError) as error:
            table[name] = {"missing": str(error)}
            continue
        progress(f"rate of {name}")
        state, _ = member.update(member.start(), stream[:500])
        started = time.perf_counter()
        for start in range(0, len(stream), 2_000):
            state, _ = member.update(state, stream[start : start + 2_000])
        took = time.perf_counter() - started
        table[name] = {
            "values_per_second": round(stream.size / took),
            "state_bytes": sum(a.nbytes for a in state.values()),
        }
    times = np.arange(len(stream) + len(train), dtype=np.int64)
    ensemble = fit(Table(tuple(f"v{j}" for j in range(50)), times[:2_000], train))
    live = ensemble.start()
    live, _ = ensemble.update(live, times[:500], stream[:500])
    started = time.perf_counter()
    for start in range(500, len(stream), 1_500):
        live, _ = ensemble.update(live, times[start : start + 1_500], stream[start : start + 1_500])
    took = time.perf_counter() - started
    table["ensemble"] = {
        "values_per_second": round((stream.size - 25_000) / took), "state_bytes": sum(a.nbytes for a in live.values())
    }  # fmt: skip
    return {"members": table}


if __name__ == "__main__":
    import sys

    print(json.dumps(run(Path(sys.argv[1]), tuple(sys.argv[2:]) or ("tep", "skab", "nab", "rates")), indent=1))
