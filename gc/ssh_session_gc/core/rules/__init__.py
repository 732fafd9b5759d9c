"""The rules: a file for each reason to collect a session, and ``judge``, which goes through them.

A rule knows its due, its words and whether it needs the owners read afresh. Does not know the other rules.

============  =======================================================  =====================================
reason        the facts                                                due
============  =======================================================  =====================================
OverAge       created                                                  created + its ttl, or else max-age
Ownerless     nobody who could have created it lives, since a moment   that moment + owner-grace
StartTimeout  its container has not started by the due, or later       created + start-timeout
Finished      its phase is Succeeded or Failed, since a moment         that moment + finished-grace
============  =======================================================  =====================================
"""
