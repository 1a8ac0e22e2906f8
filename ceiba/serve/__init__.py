"""Serve: a Predictor behind HTTP.
Takes       opened bundles, settings, sockets.       Gives   answers over several protocols on one port.
May touch   predict, read, clean, fields, answers, bundle, base, uvicorn.   Never   torch, a path from a request.
To add one  a protocol is a file with routes: add its list to ROUTES in worker.py.

One owner process holds the socket, the versions, the limits and the signals; workers forked from it answer requests.
Rows are checked as they arrive, joined in the batcher, encoded once a batch."""
