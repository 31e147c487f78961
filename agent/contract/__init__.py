"""What crosses a wire: the words that agent, emulator and other programs share.

A leaf: nothing here imports anything else of ours, and nothing here waits.
"""
