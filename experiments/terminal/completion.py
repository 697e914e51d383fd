"""Prints the completion of `wf-jax` for a shell: python -m experiments.terminal.completion bash."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence

from experiments.terminal.config_names import config_names
from experiments.terminal.main_flags import flags_of
from experiments.terminal.word_arguments import hidden
from experiments.terminal.words import WORDS, Word

BASH = """\
_wf_jax() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} names= options=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W {words} -- "$cur"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
    elif [[ $cur != = ]]; then
        COMPREPLY=($(compgen -W "$names" -- "$cur"))
    fi
}}
complete -o default -F _wf_jax wf-jax
"""
ZSH = """\
_wf_jax() {{
    local -a words_of names options
    if ((CURRENT == 2)); then
        words_of=({words})
        _describe word words_of
        return
    fi
    case $words[2] in
{cases}
    esac
    if compset -P '*='; then
        _files
    elif [[ $PREFIX == -* ]]; then
        _describe option options -S ''
    else
        compadd -a names
        _files
    fi
}}
compdef _wf_jax wf-jax
"""


def bash() -> str:
    """Returns a script for bash."""
    cases = (
        f"        {name}) options={_quoted(options_of(word))} names={_quoted(names_of(word))} ;;"
        for name, word in WORDS.items()
    )
    return BASH.format(words=_quoted([*WORDS]), cases="\n".join(cases))


def zsh() -> str:
    """Returns a script for zsh, with the meanings of words and options."""
    cases = (
        f"        {name}) options=({_described(options_of(word))}) "
        f"names=({' '.join(names_of(word))}) ;;"
        for name, word in WORDS.items()
    )
    words = _described({name: word.does for name, word in WORDS.items()})
    return ZSH.format(words=words, cases="\n".join(cases))


SHELLS: dict[str, Callable[[], str]] = {"bash": bash, "zsh": zsh}


def options_of(word: Word) -> dict[str, str]:
    """Returns the options of a word as they are typed, with their meanings."""
    short = (*word.options, *word.arguments)
    found = {f"--{option.name.lower()}=": option.meaning for option in short}
    found |= {
        f"--{flag}" if about.is_switch else f"--{flag}=": about.meaning
        for flag, about in flags_of(word.main).items()
        if flag not in hidden(word)
    }
    return found | {"--help": "how it is typed"}


def names_of(word: Word) -> Sequence[str]:
    """Returns the names among which the word's argument is chosen; others are files."""
    first = word.arguments[0].name if word.arguments else word.many
    return {"CONFIG": config_names(), "SHELL": [*SHELLS]}.get(first, [])


def main(shells: Sequence[str]) -> int:
    """Prints the script for one shell; returns the exit code."""
    if len(shells) != 1 or shells[0] not in SHELLS:
        print(f"name a shell: {' or '.join(SHELLS)}", file=sys.stderr)
        return 2
    print(SHELLS[shells[0]](), end="")
    return 0


def _quoted(texts: Sequence[str] | dict[str, str]) -> str:
    return shlex.quote(" ".join(texts))


def _described(meanings: dict[str, str]) -> str:
    """Returns words for zsh's `_describe`: NAME:MEANING."""

    def pairs() -> Iterator[str]:
        for name, meaning in meanings.items():
            yield shlex.quote(f"{name}:{meaning}".replace("\n", " "))

    return " ".join(pairs())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
