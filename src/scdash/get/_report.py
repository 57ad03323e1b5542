"""The table of errors of a fit, which shows itself as the report in words."""

from html import escape

import pandas as pd


class FitReport(pd.DataFrame):  # type: ignore[misc]
    """A table of errors whose `attrs["summary"]` is the report; what is derived from it is an ordinary table."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        summary = str(self.attrs.get("summary", ""))
        if self.empty and summary:
            return summary
        return (
            f"{summary}\n\n{pd.DataFrame(self).to_string(index=False, float_format=FOUR_DIGITS, na_rep='')}"
            if summary
            else super().__repr__()
        )

    def _repr_html_(self) -> str:
        first, _, rest = str(self.attrs.get("summary", "")).partition("\n")
        table = (
            "" if self.empty else pd.DataFrame(self).to_html(border=0, index=False, float_format=FOUR_DIGITS, na_rep="")
        )
        return f"<div><p><strong>{escape(first)}</strong></p>{table}<pre>{escape(rest)}</pre></div>"


FOUR_DIGITS = "{:.4g}".format
