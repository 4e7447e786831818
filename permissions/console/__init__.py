"""The console: the broker's pages in a browser, for approvers, responders and operators.

Pages are made on the server and read without JavaScript; a script of our own adds keys, live
lists and passkeys. Whoever is signed in may read what their role may; a vote is signed by the
voter's passkey over what was shown, so that neither a session nor this process can give one.
`static/htmx-2.0.11.min.js` is htmx (Zero-Clause BSD, beside it), unchanged.
"""
