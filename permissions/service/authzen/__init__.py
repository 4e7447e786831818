"""The broker's decisions for other enforcement points: the AuthZEN Authorization API 1.0.

Whoever asks here (a gateway, an application) enforces the answer itself: nothing is run. What
is asked is put to the same policies as a call is, as a call of a tool, and recorded with its
answer. Not protected from: a caller that does not do what it was told, obligations included.
"""
