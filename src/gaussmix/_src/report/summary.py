"""A one-page summary of a fit as text, as HTML for notebooks, in LaTeX and as a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from gaussmix._src.em.objective.trace import SearchReport
from gaussmix._src.errors import counted
from gaussmix._src.mixture.html import sketch, table_html
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import first_names, mean_and_deviation, shorten, weight_text
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.frames import made_frame

_MAX_COLUMNS = 10  # maximum number of columns in a table
_MAX_TABLE_ROWS = 40  # maximum number of rows in a table on a terminal
_MAX_PAGE_ROWS = 200  # maximum number of rows in tables that are not printed on a terminal
_TEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "−": "$-$", "…": r"\dots{}", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}", **{character: f"\\{character}" for character in "&%$#_{}"}}


@dataclass(frozen=True, eq=False)
class Summary:
    """One-page summary of a fit.

    Parameters
    ----------
    title : heading with the estimator, the number of components and the covariance structure.
    statistics : dictionary of statistics of the fit, with the same values as in `glance`.
    components : dictionary of the columns of `tidy`; each column has a value for each component and, if there is noise,
        for noise.
    warnings : warnings about the fit, one sentence each.
    mixture : the fitted mixture.
    names : names of the features.
    frame_library : library of the data frame that `to_frame` returns; None for the first supported library that is
        installed.
    extra_lines : additional pairs of a heading and a value, which are shown below the line about the data.
    """

    title: str
    statistics: Mapping[str, Any]
    components: Mapping[str, Array]
    warnings: Sequence[str]
    mixture: Mixture
    names: tuple[str, ...]
    frame_library: str | None = None
    extra_lines: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        lines = self._lines()
        width = max(15, *(len(name) for name, _ in lines))
        statistics = [f"{name:<{width}} {value}" for name, value in lines]
        warnings = ["", "Warnings:", *(f"- {sentence}" for sentence in self.warnings)] if self.warnings else []
        return "\n".join([self.title, "", *statistics, "", self.table(), *warnings])

    __repr__ = __str__

    def table(self, width: int | None = None) -> str:
        """Return the components as text in aligned columns.

        Parameters
        ----------
        width : maximum length of a line in characters. If the table is wider, it is transposed or columns are left out.
            Rows after the fortieth are also left out; the text states the numbers of omitted columns and rows. If
            `width` is None, the default, the table has at most ten columns and two hundred rows.
        """
        header, rows = self._table() if width is None else self._cells()
        if width is None:
            return "\n".join(line.rstrip() for line in aligned([header, *rows]))
        transposed = [list(column) for column in zip(header, *rows, strict=True)]
        layouts = [(layout[0], shortened(layout[1:])) for layout in ([header, *rows], transposed)]
        # Tables are tried from wide to narrow, each first as it is and then transposed. If no table fits, the result is
        # the narrowest table that is not transposed, `tried[-2]`.
        tried = [aligned(_cut(*layout, n_columns)) for n_columns in range(_MAX_COLUMNS, 1, -1) for layout in layouts]
        fitting = next((lines for lines in tried if len(lines[0]) <= width), tried[-2])
        return "\n".join(line.rstrip() for line in fitting)

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in self._lines())
        warnings = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.warnings)
        warned = f"<p><b>Warnings</b></p><ul>{warnings}</ul>" if self.warnings else ""
        table = f'<div style="overflow-x:auto">{table_html(*self._table())}</div>'
        return f"<div><p><b>{escape(self.title)}</b></p><ul>{items}</ul>{table}{warned}{sketch(self.mixture)}</div>"

    def to_latex(self) -> str:
        """Return two LaTeX tables, one for the fit and one for the components, which need the package booktabs."""
        header, rows = self._table()
        items = [r"\begin{tabular}{ll}", r"\toprule", *map(_tex_row, self._lines()), r"\bottomrule", r"\end{tabular}"]
        top = [f"\\begin{{tabular}}{{{'r' * len(header)}}}", r"\toprule", _tex_row(header), r"\midrule"]
        notes = [f"% {sentence}" for sentence in self.warnings]
        return "\n".join([*notes, *items, "", *top, *map(_tex_row, rows), r"\bottomrule", r"\end{tabular}"])

    def to_frame(self) -> Any:
        """Return a data frame with the properties of the components, which is the same as the result of `tidy`."""
        return made_frame(self.components, self.frame_library)

    def _lines(self) -> list[tuple[str, str]]:
        """Return the lines about the whole fit as pairs of a heading and a value."""
        values = self.statistics
        seen = "" if values["n_rows"] is None else f"{counted(values['n_rows'], 'row')} of "
        missing = f", {counted(values['n_missing'], 'cell')} missing" if values["n_missing"] else ""
        lines = [
            ("data", f"{seen}{counted(values['n_features'], 'feature')} ({first_names(self.names)}){missing}"),
            *self.extra_lines,
        ]
        if values["log_likelihood"] is not None:
            before = "" if values["is_final"] else ", before the last step"
            before += ": summary(X) gives the final one" if before and "icl" in values else ""
            lines.append(("log-likelihood", f"{values['log_likelihood']:.2f} nats{before}"))
        lines.append(("parameters", f"{values['n_parameters']:,}"))
        if values["bic"] is not None:
            lines.append(("BIC", f"{values['bic']:.2f}, lower is better"))
        if "icl" in values:
            lines.append(("ICL", "needs the rows: summary(X)" if values["icl"] is None else f"{values['icl']:.2f}"))
        if values["n_moves_tried"] is not None:
            search = SearchReport(values["n_moves_tried"], values["n_moves_accepted"], values["search_gain"])
            lines.append(("search", str(search)))
        if values["n_iter"] is not None:
            why = "" if values["stopped"] is None else f" {values['stopped']}"
            lines.append(("stopped", f"after {counted(values['n_iter'], 'step')}.{why}"))
        if values["certificate"] is not None:
            lines.append(("maximum", values["certificate"]))
        if (values["n_starts"] or 0) > 1:
            lines.append(("starts", f"{values['n_starts_at_best']} of {values['n_starts']} agree with the best"))
        return lines

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of a table of at most ten columns and 200 rows; added cells count omitted cells."""
        header, *rows = _cut(*self._cells(), _MAX_COLUMNS)
        return header, shortened(rows, _MAX_PAGE_ROWS)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of the whole table; if there are many features, each feature has a row."""
        mixture, columns = self.mixture, self.components
        K = mixture.n_components
        deviations = np.sqrt(mixture._model.covariances.variances())
        table = [["component", *map(str, range(K))]]
        if "class" in columns:
            table.append(["class", *(shorten(str(each)) for each in columns["class"])])
        table += [["weight", *map(weight_text, mixture.weights)]]
        if "size" in columns:
            table.append(["size", *(f"{size:.1f}" for size in columns["size"][:K])])
        for j, name in enumerate(self.names):
            table.append([shorten(name), *mean_and_deviation(mixture.means[:, j], deviations[:, j])])
        table.append(["nearest", *("" if k < 0 else str(k) for k in columns["nearest"][:K])])
        table.append(["overlap", *("" if np.isnan(each) else f"{each:.3g}" for each in columns["overlap"][:K])])
        if mixture.noise is not None:
            noise_cells = {"component": "noise", "weight": weight_text(mixture.noise.weight)}
            if "size" in columns:
                noise_cells["size"] = f"{columns['size'][K]:.1f}"
            for column in table:
                column.append(noise_cells.get(column[0], ""))
        if mixture.n_features > max(K, 3):
            header, *rows = table
        else:
            header, *rows = map(list, zip(*table, strict=True))
        return header, rows


def aligned(rows: list[list[str]]) -> list[str]:
    """Join the cells of each row into a line; columns are right-aligned, and all lines have the same length."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def shortened(rows: list[list[str]], n_rows: int = _MAX_TABLE_ROWS) -> list[list[str]]:
    """Return the first `n_rows` rows and, if there are more, a row that counts the omitted rows."""
    more = len(rows) - n_rows
    return rows if more <= 0 else [*rows[:n_rows], [f"… {more} more", *[""] * (len(rows[0]) - 1)]]


def _cut(header: list[str], rows: list[list[str]], n_columns: int) -> list[list[str]]:
    """Return header and rows with the first `n_columns` columns and, if columns were omitted, the number omitted."""
    if len(header) <= n_columns:
        return [header, *rows]
    return [[*header[:n_columns], f"… {len(header) - n_columns} more"], *([*row[:n_columns], ""] for row in rows)]


def _tex_row(cells: Sequence[str]) -> str:
    escaped = ("".join(_TEX.get(character, character) for character in cell) for cell in cells)
    return f"{' & '.join(escaped)} \\\\"


Summary.__module__ = "gaussmix"  # users import the class from `gaussmix`
