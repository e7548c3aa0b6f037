"""The simulator: what a program computes and how long it takes, cycle by cycle.

``memory`` is the DRAM image, ``execute`` the effect of each instruction, ``port`` the shared read port,
``clock`` the three modules and their queues, ``run`` puts them together.
"""
