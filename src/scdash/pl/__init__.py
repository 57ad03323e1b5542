"""Figures from what the other modules wrote: an AnnData or a table goes in, Axes come out.

Nothing is fitted here and torch is never imported. Every function takes these arguments, as scanpy's do:

`title`
    A text instead of the title of the panel, or above several panels; a list with one for each panel.
`figsize`
    Width and height of a new figure in inches; not with `ax`.
`ax`
    Draw here, divided where there are several panels.
`show`
    Show the figure. None: in interactive sessions, unless it was drawn into `ax`.
`save`
    Write the figure to `scanpy.settings.figdir`: True, or what to add to the name of the file, such as ``"_b.pdf"``.
`return_fig`
    Return the Figure instead of its Axes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
