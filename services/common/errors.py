"""Everything formcheck raises on purpose.

FormcheckError
├── InputError      the input cannot be used: the message names the thing and the fix
├── ShapeError      an array has another shape than its contract says
├── ModelError      a model file is missing, broken or not the pinned one
└── ConfigError     settings or exercise files are wrong
"""


class FormcheckError(Exception):
    """One clear sentence for the person at the other end; never shown with a traceback."""


class InputError(FormcheckError): ...


class ShapeError(FormcheckError): ...


class ModelError(FormcheckError): ...


class ConfigError(FormcheckError): ...
