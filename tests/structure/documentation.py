"""What must hold of the project's READMEs, as pure functions over their texts.

A `Project` says what exists: files, the command's options as its help tells them. Each function
takes it and gives problems as "file:line: what".
"""

import dataclasses
import posixpath
import re
import shlex
import tomllib

FRONT_DOOR_LINES = 200
READING_PATH = ("core/README.md", "Reading path")
READING_PATH_LINES = 1500
PARTS = ("cluster", "configs", "core", "dist", "include", "launch", "tests")
ROOMS_WITH_README = ("cluster", "configs", "core", "dist", "launch", "tests")


@dataclasses.dataclass
class Project:
    """`files`: path -> number of lines. `commands`: sub-command -> its flags without dashes, empty
    where the program is not there to ask. `scripts`: script -> text in which its flags occur."""

    files: dict
    commands: dict
    scripts: dict

    def exists(self, path: str) -> bool:
        return path in ("", ".") or path in self.files or self.is_folder(path)

    def is_folder(self, path: str) -> bool:
        return any(name.startswith(path.rstrip("/") + "/") for name in self.files)

    def options(self) -> set:
        """Names of configuration options, "data.batch"; empty where they are not known."""
        return {flag for flag in self.commands.get("train", ()) if "." in flag}


# --- Markdown -------------------------------------------------------------------------------------


@dataclasses.dataclass
class Page:
    path: str
    headings: list  # (line, level, text)
    prose: list  # (line, text): what stands outside code blocks
    blocks: list  # (line of its first line, language, text)

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path)


def parse(path: str, text: str) -> Page:
    page = Page(path, [], [], [])
    block, language, start = None, "", 0
    for number, line in enumerate(text.split("\n"), 1):
        fence = re.match(r"\s*```(\w*)\s*$", line)
        if block is not None:
            if fence:
                page.blocks.append((start, language, "\n".join(block)))
                block = None
            else:
                block.append(line)
        elif fence:
            block, language, start = [], fence[1], number + 1
        else:
            heading = re.match(r"(#+)\s+(.*)$", line)
            if heading:
                page.headings.append((number, len(heading[1]), heading[2]))
            page.prose.append((number, line))
    return page


def anchors(page: Page) -> set:
    """As GitHub makes them of headings."""
    found = {}
    for _, _, heading in page.headings:
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def spans(page: Page):
    """(line, text) of each `code span`, also of those that a line's end cuts."""
    offsets, text = [], ""
    for number, line in page.prose:
        # A blank line, a row of a table ends a span that was left open.
        joint = "\n\n" if not line.strip() or line.startswith("|") else "\n"
        text += joint
        offsets.append((len(text), number))
        text += line
    for match in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        if "\n\n" not in match[1]:
            line = max(number for offset, number in offsets if offset <= match.start())
            yield line, match[1].replace("\n", " ").replace("\\|", "|")


# --- Links ----------------------------------------------------------------------------------------

LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")


def links(page: Page):
    """(line, target) of links within the project."""
    # A link's text may be cut by the line's end, its target never is.
    for number, line in page.prose:
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if not re.match(r"[a-z]+:", target):
                yield number, target


def link_problems(page: Page, pages: dict, project: Project):
    for line, target in links(page):
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(page.folder, path)) if path else page.path
        if not project.exists(place):
            yield f"{page.path}:{line}: link to {target}: there is no {place}"
        elif anchor and (place not in pages or anchor not in anchors(pages[place])):
            yield f"{page.path}:{line}: link to {target}: {place} has no heading #{anchor}"


# --- Commands -------------------------------------------------------------------------------------


def words_of(line: str) -> list:
    """A shell line's words; optional parts, [--x N], are taken as given."""
    plain = re.sub(r"[\[\]]", " ", line.replace("…", " ").replace("...", " "))
    try:
        return shlex.split(plain, comments=True)
    except ValueError:  # a quote that prose has left open
        return plain.split()


def shell_lines(start: int, text: str):
    """(line, command) of a block, lines that end in a backslash joined."""
    joined, first = "", start
    for number, line in enumerate(text.split("\n"), start):
        if not joined:
            first = number
        if line.endswith("\\"):
            joined += line[:-1] + " "
        else:
            yield first, joined + line
            joined = ""


def commands(page: Page):
    """(line, words) of each command that the page shows."""
    for start, language, text in page.blocks:
        if language in ("sh", "bash"):
            for number, line in shell_lines(start, text):
                for part in re.split(r"&&|;|\|(?=\s)", line):
                    if words_of(part):
                        yield number, words_of(part)
    for number, text in spans(page):
        first = text.split(" ", 1)[0]
        if first in ("thaw", "mpirun", "srun", "sbatch", "ctest") or (
            "/" in first and first.split("/")[0] in PARTS + ("build",)
        ):
            yield number, words_of(text)


def flags(words: list) -> list:
    return [word[2:].partition("=")[0] for word in words if re.match(r"--[a-z]", word)]


def thaw_problems(words: list, project: Project):
    """Of what stands behind `thaw`: the sub-command and its flags."""
    if not words or words[0].startswith("--") or not re.fullmatch(r"[a-z][a-z-]*", words[0]):
        return  # thaw --version; thaw SUBCOMMAND
    name, rest = words[0], words[1:]
    if name not in project.commands:
        yield f"there is no thaw {name}"
        return
    known = project.commands[name]
    if name == "launch":
        inner = rest[rest.index("--") + 1 :] if "--" in rest else []
        yield from thaw_problems(inner, project)
        return  # the rest is mpirun's
    for flag in flags(rest):
        if known and flag not in known and not flag.startswith("schedule.stage."):
            yield f"thaw {name} has no option --{flag}"


def script_problems(words: list, project: Project):
    script, rest = words[0], words[1:]
    for flag in flags(rest):
        if f"--{flag}" not in project.scripts.get(script, f"--{flag}"):
            yield f"{script} has no option --{flag}"


def path_problem(word: str, folder: str, project: Project):
    """What is wrong with a word that names a file of the project, or None."""
    if not re.fullmatch(r"[\w./-]+", word) or "/" not in word:
        return None
    part = word.split("/")[0]
    if word.startswith("build/cluster/benchmarks/"):
        source = word[len("build/") :] + ".cpp"
        return None if project.exists(source) else f"{word} is made of no {source}"
    if part not in PARTS or project.exists(word.rstrip("/")):
        return None
    if project.exists(posixpath.normpath(posixpath.join(folder, word))):
        return None
    return f"there is no {word}"


def command_problems(page: Page, project: Project):
    for line, words in commands(page):
        found = []
        for place, word in enumerate(words):
            if word == "thaw" or word.endswith("/thaw"):
                found += thaw_problems(words[place + 1 :], project)
        while words and re.match(r"\w+=", words[0]):
            words = words[1:]
        if words and words[0] in project.files:
            found += script_problems(words, project)
        for word in words:
            found.append(path_problem(word, page.folder, project))
        yield from (f"{page.path}:{line}: {what}" for what in found if what)


# --- Options --------------------------------------------------------------------------------------

SECTIONS = (
    "model", "task", "data", "train", "schedule", "checkpoint", "distributed", "retention", "output"
)  # fmt: skip
OPTION = re.compile(rf"({'|'.join(SECTIONS)})\.([a-z][a-z0-9-]*)( = .*)?")
FILES = ("csv", "h5", "py", "sh", "toml", "json", "jsonl", "safetensors", "sbatch", "noun", "cpp")


def option_problems(page: Page, project: Project):
    """Options that prose and TOML name exist. Silent where the program is not there to ask."""
    known = project.options()
    if not known:
        return
    for line, text in spans(page):
        match = OPTION.fullmatch(text)
        if match and match[2] not in FILES and f"{match[1]}.{match[2]}" not in known:
            yield f"{page.path}:{line}: there is no option {match[1]}.{match[2]}"
    for start, language, text in page.blocks:
        if language == "toml":
            for section, table in _toml(text).items():
                for key, value in table.items() if isinstance(table, dict) else ():
                    if not isinstance(value, (dict, list)) and f"{section}.{key}" not in known:
                        yield f"{page.path}:{start}: there is no option {section}.{key}"


def _toml(text: str) -> dict:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def toml_problems(page: Page):
    for start, language, text in page.blocks:
        if language == "toml":
            try:
                tomllib.loads(text)
            except tomllib.TOMLDecodeError as error:
                yield f"{page.path}:{start}: no TOML: {error}"


def options_of_help(text: str) -> list:
    """(section, flag, type, default, what it does) of what `thaw train --help` prints."""
    rows, section = [], None
    for line in text.split("\n"):
        head = re.fullmatch(r"\[(\w+)\]:", line)
        entry = re.match(r"  --(\S+)(?: (\S+))?(?: \(=(.*?)\))?(?:\s{1,}(.*))?$", line)
        if head:
            section = head[1]
        elif section and entry:
            rows.append([section, entry[1], entry[2] or "", entry[3] or "", entry[4] or ""])
        elif section and rows and line.startswith("    "):
            rows[-1][4] += " " + line.strip()
        elif line and not line.startswith(" "):
            section = None
    return [[cell.strip() for cell in row] for row in rows]


def options_table(help_text: str) -> str:
    """The same as Markdown, a table a section."""
    lines, section = [], None
    for of, flag, kind, default, what in options_of_help(help_text):
        if of != section:
            section = of
            lines += ["", f"| `[{section}]` | type | default | |", "| --- | --- | --- | --- |"]
        shown = f"`{default}`" if default else ""
        what = re.sub(r"\s+", " ", what).replace("|", "\\|")
        lines.append(f"| `{flag.partition('.')[2]}` | {kind.lower()} | {shown} | {what} |")
    return "\n".join(lines[1:]) + "\n"


BEGIN = "<!-- options: written by tests/structure/documentation_test.py --write -->\n"
END = "<!-- options end -->\n"


def with_options(text: str, help_text: str) -> str:
    """The page with the options' table of this help."""
    before, found, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    if not found or END not in rest:
        raise ValueError(f"no line {BEGIN.strip()} with {END.strip()} behind it")
    return before + BEGIN + "\n" + options_table(help_text) + "\n" + END + after


# --- Size -----------------------------------------------------------------------------------------


def front_door_problems(text: str):
    count = len(text.splitlines())
    if count > FRONT_DOOR_LINES:
        yield f"README.md:{FRONT_DOOR_LINES}: {count} lines; a front door has {FRONT_DOOR_LINES}"


def reading_path(page: Page) -> list:
    """The files of the numbered list below its heading, in order."""
    _, title = READING_PATH
    inside, files = False, []
    for line, text in page.prose:
        heading = re.match(r"#+\s+(.*)$", text)
        if heading:
            inside = heading[1] == title
        elif inside and re.match(r"\d+\. ", text):
            files += [
                posixpath.normpath(posixpath.join(page.folder, target))
                for target in re.findall(r"\]\(([^)\s]+)\)", text)
            ]
    return files


def reading_path_problems(page: Page, project: Project):
    path, title = READING_PATH
    files = reading_path(page)
    if len(files) < 10:
        yield f'{path}:1: "{title}" names {len(files)} files, of which there should be ten'
    lines = sum(project.files.get(file, 0) for file in files)
    if lines > READING_PATH_LINES:
        yield f'{path}:1: "{title}" has {lines} lines; {READING_PATH_LINES} are the most'


def problems(texts: dict, project: Project) -> list:
    """`texts`: path -> text of each README."""
    pages = {path: parse(path, text) for path, text in texts.items()}
    found = [
        f"{room}/README.md:1: there is none"
        for room in ROOMS_WITH_README
        if f"{room}/README.md" not in texts
    ]
    for page in pages.values():
        found += link_problems(page, pages, project)
        found += command_problems(page, project)
        found += toml_problems(page)
        found += option_problems(page, project)
    found += front_door_problems(texts.get("README.md", ""))
    if READING_PATH[0] in pages:
        found += reading_path_problems(pages[READING_PATH[0]], project)
    return found
