"""A first site file for ``anlan init``: small, commented, passes its check and runs as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from anlan.core.errors import ConflictError, InvalidInputError
from anlan.plant.editor import replace_text
from anlan.plant.findings import SiteFileError
from anlan.plant.site_file import SiteDocument, check

CONNECTORS = ("mqtt", "opcua", "modbus", "hj212", "none")
_ENDPOINTS = {
    "mqtt": "127.0.0.1:1883",
    "opcua": "opc.tcp://127.0.0.1:4840",
    "modbus": "127.0.0.1:502",
    "hj212": "127.0.0.1:9212",
    "none": "",
}


class Answers(msgspec.Struct, frozen=True):
    """What ``anlan init`` asks; ``endpoint`` is HOST:PORT, for OPC UA a URL, empty for the usual one."""

    name: str = "我的工厂"
    name_en: str = "My plant"
    id: str = "my-plant"
    enterprise: str = "plant"
    tier: str = "enterprise"
    timezone: str = "Asia/Shanghai"
    connector: str = "mqtt"
    endpoint: str = ""


def slug(name: str) -> str:
    """Return an id made of a name: its Latin letters and digits, joined by ``-``; empty when it has none."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))[:60]


def _connector(answers: Answers, unit: str) -> str:
    kind, endpoint = answers.connector, answers.endpoint or _ENDPOINTS.get(answers.connector, "")
    host, _, port = endpoint.rpartition(":")
    if kind in ("mqtt", "modbus", "hj212") and not (host and port.isdigit()):
        raise InvalidInputError(f"{endpoint!r} is no address", where="--endpoint", fix="HOST:PORT")
    address = f"    host: {json.dumps(host)}\n    port: {port}\n"
    if kind == "mqtt":
        head = f"  # 设备向这里发布 devices publish here:  mosquitto_pub -p {port} -q 1 -t plant/t-101 "
        head += '-m \'{"pressure": 0.8, "level": 55}\'\n  - id: devices\n    kind: mqtt\n' + address
        tags = {name: f"{{topic: plant/t-101, field: {name}}}" for name in ("pressure", "temperature", "level")}
        tags |= {"gas-1": "{topic: plant/gas, field: gas1}", "gas-2": "{topic: plant/gas, field: gas2}"}
        tags["pump"] = "{topic: plant/t-101, field: pump}"
    elif kind == "opcua":
        head = f"  - id: dcs\n    kind: opcua\n    endpoint: {json.dumps(endpoint)}\n"
        names = {"pressure": "PT101", "temperature": "TT101", "level": "LT101", "gas-1": "GT101", "gas-2": "GT102"}
        tags = {name: f'"ns=2;s={tag}"' for name, tag in {**names, "pump": "P101"}.items()}
    elif kind == "modbus":
        head = "  - id: plc\n    kind: modbus\n" + address + "    interval: 1 s\n"
        names_ = ("pressure", "temperature", "level", "gas-1", "gas-2", "pump")
        tags = {name: f"{{table: holding, address: {2 * index}, type: float32}}" for index, name in enumerate(names_)}
    elif kind == "hj212":
        head = "  - id: stations\n    kind: hj212\n" + address
        tags = {"gas-1": '"010000A8900016F000169DC0/a21001-Rtd"'}
    else:
        return ""
    lines = "".join(f"      {unit}/{name}: {tag}\n" for name, tag in tags.items())
    return f"\nconnectors:\n{head}" + (f"    map:\n{lines}" if lines else "")


def site_text(answers: Answers) -> str:
    """Return the text of a first site file.

    Raises:
        InvalidInputError: an answer cannot be used.
    """
    if answers.connector not in CONNECTORS:
        raise InvalidInputError(f"no connector {answers.connector!r}", where="--connector", fix=", ".join(CONNECTORS))
    quoted = {name: json.dumps(getattr(answers, name), ensure_ascii=False) for name in ("name", "name_en")}
    unit = f"{answers.enterprise}/tank-farm/t-101"
    return f"""\
# 站点文件 site file. 检查 check: anlan check .   运行 run: anlan serve --site .
# 格式 format: docs/site-files.md
site:
  id: {answers.id}
  name: {quoted["name"]}
  name_en: {quoted["name_en"]}
  tier: {answers.tier}
  timezone: {answers.timezone}

positions:
  - {{id: desk-1, name: 一号操作台, name_en: Desk 1, scope: [{answers.enterprise}]}}

substances:
  - {{id: ammonia, name: 氨, name_en: Ammonia, cas: 7664-41-7, un: "1005"}}

enterprises:
  - id: {answers.enterprise}
    name: {quoted["name"]}
    name_en: {quoted["name_en"]}
    areas:
      - id: tank-farm
        name: 罐区
        name_en: Tank farm
        units:
          - id: t-101
            name: 一号储罐
            name_en: Tank 1
            kind: pressurised-tank
            substance: ammonia
            inventory: {{value: 50, unit: t}}
            # 限值只是示例,请按工艺和 HAZOP 修改 the limits are examples: put in those of your process
            points:
              - {{id: pressure, name: 压力, name_en: Pressure, kind: pressure, unit: MPa,
                 limits: {{HH: 1.9, H: 1.7}}, on_delay: 2 s, deadband: 0.02}}
              - {{id: temperature, name: 温度, name_en: Temperature, kind: temperature, limits: {{H: 45}},
                 deadband: 0.5}}
              - {{id: level, name: 液位, name_en: Level, kind: level, unit: "%",
                 limits: {{HH: 90, H: 85, L: 10}}, on_delay: 5 s, deadband: 1}}
              - id: gas-1
                name: 一号氨气探头
                name_en: Gas detector 1
                kind: toxic-gas
                unit: ppm
                safety: true              # 断线 60 s 和坏质量都会报警 rings when silent for 60 s or bad
                limits: {{HH: 50, H: 25}}
                alarms:
                  - kind: HH
                    cause: 储罐或管线泄漏 leak of tank or pipe
                    consequence: {{grade: major, text: 人员中毒 poisoning}}
                    action: 撤离,切断进出料,启动喷淋 evacuate, isolate, start the spray
                    time_to_act: 5 min
                    operator_position: desk-1
              - {{id: gas-2, name: 二号氨气探头, name_en: Gas detector 2, kind: toxic-gas, unit: ppm, safety: true,
                 limits: {{HH: 50, H: 25}}}}
              - id: pump
                name: 进料泵
                name_en: Feed pump
                kind: state
                states: {{0: 停, 1: 运行, 2: 故障}}
                alarms: [{{kind: state, states: [故障]}}]
            alarms:
              - {{kind: vote, name: gas, inputs: [gas-1, gas-2], needed: 2, limit: 25,
                 action: 启动应急预案 start the emergency plan}}
{_connector(answers, unit)}"""


def refuse_existing(folder: Path, *, force: bool = False) -> Path:
    """Return the file that ``write_site`` would write.

    Raises:
        ConflictError: it is there already and ``force`` is not given.
    """
    file = folder / "site.yaml"
    if file.exists() and not force:
        raise ConflictError("there is a site file already", where=str(file), fix="another folder, or --force")
    return file


def write_site(folder: Path, answers: Answers, *, force: bool = False) -> tuple[Path, SiteDocument]:
    """Write ``site.yaml`` into a folder (made if need be) and return it with its checked document.

    Raises:
        ConflictError: there is one already and ``force`` is not given.
        SiteFileError: an answer makes no valid site; nothing is written.
    """
    file = refuse_existing(folder, force=force)
    text = site_text(answers)
    document, findings = check(file, overlay={file: text})
    if document is None:
        raise SiteFileError(findings)
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(file, text)
    return file, document
