"""SQuAD: articles of paragraphs with questions, in one JSON object → a row a question.

Source: Rajpurkar et al. 2018, arXiv:1806.03822; the layout of its files, version 2.0.
"""

from typing import Any

from ceiba.base.errors import DataError

COLUMNS = ("id", "title", "question", "context", "answer")


def is_squad(found: Any) -> bool:
    """Whether a JSON object is laid out as SQuAD's files are."""
    articles = found.get("data") if isinstance(found, dict) else None
    return bool(
        isinstance(articles, list) and articles and isinstance(articles[0], dict) and "paragraphs" in articles[0]
    )


def squad_columns(found: dict[str, Any], where: str) -> dict[str, list[Any]]:
    """Columns of all questions; `answer` lists the answers that were given, as {text, start}, none where a question has
    no answer.

    Raises: DataError for an answer that is not in its paragraph, or a part that is lacking.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    try:
        for article in found["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    told = [] if question.get("is_impossible") else question["answers"]
                    answers = {(one["text"], int(one["answer_start"])) for one in told}
                    row = (
                        question["id"], article.get("title"), question["question"], paragraph["context"],
                        [{"text": text, "start": start} for text, start in sorted(answers, key=lambda one: one[::-1])],
                    )  # fmt: skip
                    _check(row[4], paragraph["context"], f"{where} question {question['id']}")
                    for name, value in zip(COLUMNS, row, strict=True):
                        columns[name].append(value)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where} must be laid out as SQuAD's files", str(error), "Use an undamaged copy") from error
    return columns


def _check(answers: list[dict[str, Any]], context: str, where: str) -> None:
    for one in answers:
        if context[one["start"] : one["start"] + len(one["text"])] != one["text"]:
            raise DataError(f"{where} must have answers that stand in its context", f"'{one['text']}'", "Mend it")
