"""Keys and values for what a command line names by its type: read from a file, set one by one."""

from __future__ import annotations

from typing import Any


def read_mapping(address: str, what: str) -> dict[str, Any]:
    """The keys and values of a .yaml file that describes one thing as a study file does.

    Args:
        address: The file, local or s3://.
        what: What it describes, for errors: judge, writer.

    Raises:
        UserError: No such file, or none with keys and values.
    """
    import yaml

    from valuedrift.errors import UserError
    from valuedrift.storage.fetching import at_hand

    try:
        with at_hand(address) as path:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"no such {what} file", where=address, fix=f"a .yaml file with one {what}, or a type of {what}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 text (byte {error.start})", where=address) from error
    except yaml.YAMLError as error:
        raise UserError(f"not valid YAML: {getattr(error, 'problem', error)}", where=address) from error
    if not isinstance(content, dict):
        raise UserError(f"not a {what}: expected keys and values", where=address, fix=f"one {what} as it stands in a study: type, …")
    return content


def put_key(content: dict[str, Any], setting: str, option: str) -> None:
    """Set one key.

    Args:
        content: Where; nested mappings are made as needed.
        setting: ``KEY=VALUE``; dots in the key lead into nested ones; the value by the rules of YAML.
        option: The option that it was given by, for errors.

    Raises:
        UserError: Not of that form.
    """
    import yaml

    from valuedrift.errors import UserError

    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"not KEY=VALUE: {setting!r}", where=option, fix=f"e.g. {option} model=NAME")
    try:
        value = yaml.safe_load(text) if text.strip() else text
    except yaml.YAMLError as error:
        raise UserError(f"not a YAML value: {text!r}", where=f"{option} {key}") from error
    for part in parts[:-1]:
        inner = content.get(part)
        content[part] = dict(inner) if isinstance(inner, dict) else {}
        content = content[part]
    content[parts[-1]] = value
