"""What is done with the course's notebooks.

| module | holds |
| --- | --- |
| `run` | `cargo xtask notebooks`: runs them and writes their outputs |
| `execute`, `executed` | running one, strictly; which have run well |
| `normalise`, `files` | the one form of a notebook; finding, reading and writing its file |
| `exercises`, `wrong_answers` | proves, solves and tidies exercises; the wrong answers to them |
| `trials` | cells that try several answers |
| `lessons`, `claims` | what a lesson explains too late; what it says in numbers against its outputs |
| `handout`, `slides`, `book` | what is made of them |
"""
