"""The course as a student meets it: JupyterLab in a browser, driven by mouse and keyboard.

| module | holds |
| --- | --- |
| `server` | JupyterLab, started by the command that a student types |
| `chromium` | the browser |
| `lab` | the page: its files, menus, dialogs and open notebooks |
| `notebook` | one open notebook: its cells, and waiting for them |
| `pictures` | whether pictures are shown; pictures of the page |
| `lessons`, `exercise`, `own`, `control`, `helping` | what a student does, one function each |
"""
