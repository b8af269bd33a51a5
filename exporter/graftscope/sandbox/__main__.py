"""The child: reads one request, opens the model within its limits, says what came of it."""

from graftscope.sandbox._child import main

main()
