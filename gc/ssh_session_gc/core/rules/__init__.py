"""The rules: a file for each reason to collect a session, and ``judge``, which goes through them.

A rule knows its due, its words and whether it needs the owners read afresh. It knows no other, but ``over_age`` has
nothing to say of a session that is young, and lets ``ownerless`` speak.

============  =====================================================  =============================================
reason        the facts                                              due
============  =====================================================  =============================================
OverAge       it has no ttl                                          created + max-age
..            it has a ttl, or one that cannot be read               created + the ttl, or max-ttl if that is less
..            max-age is 0                                           never
Ownerless     nobody who could have created it lives since a moment  that moment + owner-grace
..            somebody may live, or nobody can tell                  never
Abandoned     its owner said that its connection ended, or that it   that moment + abandoned-grace
              gave the session up; a newer Pod has the connection
..            every owner that could have created it counts nobody,  since then, at the end of the grace
              and did so abandoned-grace ago
..            nobody said so                                         never
StartTimeout  nothing started, or later than that, or it has never   created + start-timeout
              been Ready
..            its container started in time; start-timeout is 0      never
Finished      its phase is Succeeded or Failed, or its container     that moment + finished-grace
              has ended for good, since a moment
..            neither is so                                          never
============  =====================================================  =============================================

Whatever is due, the annotation ``keep`` exempts from all of it, and so does a deletion that was accepted already,
unless ``force-after`` is over. What is persistent, ContainerSSH keeps on purpose: it can only be Finished. A ``keep``
that cannot be read holds every due back to created + max-ttl.
"""
