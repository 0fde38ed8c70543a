"""Plots drawn by Plotly, for the page."""

from __future__ import annotations

from typing import Any

from ._figures import Plot, Series


def to_plotly(plot: Plot) -> Any:
    """A `plotly.graph_objects.Figure`, with a menu where there are panels to choose from."""
    import plotly.graph_objects as go

    figure = go.Figure()
    owners = []
    for number, (label, series) in enumerate(plot.panels.items()):
        for one in series:
            for trace in _traces(go, one):
                trace.visible = number == 0
                figure.add_trace(trace)
                owners.append(label)
    figure.update_layout(
        template="plotly_white",
        height=520 if not plot.categories else max(420, 60 + 26 * len(plot.categories)),
        margin={"l": 70, "r": 20, "t": 50 if len(plot.panels) > 1 else 20, "b": 60},
        legend={"font": {"size": 11}, "groupclick": "togglegroup"},
        hovermode="closest",
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    figure.update_xaxes(title=plot.x_label, type="log", exponentformat="power", minor={"ticks": "outside"})
    figure.update_yaxes(title=plot.y_label, type="log" if plot.log_y else "linear", exponentformat="power")
    if plot.categories:
        ticks = list(range(len(plot.categories)))
        figure.update_yaxes(tickvals=ticks, ticktext=list(plot.categories), range=[-0.6, len(ticks) - 0.4])
    if len(plot.panels) > 1:
        buttons = [
            {"label": label, "method": "restyle", "args": [{"visible": [owner == label for owner in owners]}]}
            for label in plot.panels
        ]
        menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "direction": "down"}
        figure.update_layout(updatemenus=[menu])
    return figure


def _traces(go: Any, one: Series) -> list[Any]:
    colour, dash = one.colour, one.dash[0]
    common = {"x": one.x, "y": one.y, "name": one.name, "legendgroup": one.name}
    if one.bars:
        symbol = one.symbol[0] + ("-open" if one.theory else "")
        bars = None
        if one.low is not None and one.high is not None:
            bars = {
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 2,
                "array": [h - v for h, v in zip(one.high, one.x, strict=True)],
                "arrayminus": [v - w for v, w in zip(one.x, one.low, strict=True)],
            }  # fmt: skip
        marker = {"color": colour, "symbol": symbol, "size": 8}
        return [go.Scatter(**common, mode="markers", marker=marker, error_x=bars)]
    if one.theory:
        line = {"color": colour, "width": 1, "dash": "dot"}
        return [go.Scatter(**common, mode="lines", line=line, opacity=0.55, showlegend=False, hoverinfo="skip")]
    marks = {"size": 5, "color": colour}
    line = go.Scatter(**common, mode="lines+markers", line={"color": colour, "width": 1.6, "dash": dash}, marker=marks)
    if one.low is None or one.high is None:
        return [line]
    around = {"x": [*one.x, *reversed(one.x)], "y": [*one.high, *reversed(one.low)], "legendgroup": one.name}
    band = go.Scatter(
        **around, fill="toself", fillcolor=_faint(colour), mode="none", showlegend=False, hoverinfo="skip"
    )
    return [band, line]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
