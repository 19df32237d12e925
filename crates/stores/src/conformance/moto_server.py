"""`moto_server` whose conditional writes are atomic, as those of DynamoDB are: without this, two threads of
it can find a condition true before either of them writes.
"""

import threading

from moto import server

dispatch = server.DomainDispatcherApplication.__call__
one_at_a_time = threading.Lock()


def atomic(application, environ, start_response):
    if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
        return dispatch(application, environ, start_response)
    with one_at_a_time:
        return dispatch(application, environ, start_response)


server.DomainDispatcherApplication.__call__ = atomic
server.main()
