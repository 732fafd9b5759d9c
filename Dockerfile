# The base is the official slim image and not a distroless one, although nothing here needs a shell. The distroless
# Python images carry no version tags, so they cannot be pinned in words, and theirs is Debian's Python, which is not
# the one that CI tries; the compiled packages in the environment belong to one minor version of Python.
#
# Pinned by version and by the digest of the multi-platform index. For a newer one look the digest up
# (docker buildx imagetools inspect python:3.13-slim-trixie) and change both parts of this line.
ARG BASE=python:3.13.16-slim-trixie@sha256:70729b46c69b4f1e97c4822c1af3df53a1476cf5ddc6c087c0c10bc3a5678c2f


FROM ${BASE} AS build
ARG UV_VERSION=0.13.9
# The environment is linked to the image's own interpreter, which the final stage has at the same place. Bytecode is made
# now because nothing can be written later, and is not checked against its source because the two never part and
# because some builders change the files' times.
ENV UV_PYTHON=/usr/local/bin/python3 \
    UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /app
RUN pip install --no-cache-dir --root-user-action=ignore uv==${UV_VERSION}
# The dependencies by themselves first: a layer that a change of the code leaves alone.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY README.md LICENSE ./
COPY gc gc
# uv leaves a lock file behind that anybody may write.
RUN uv sync --frozen --no-dev --no-editable && rm -f .venv/.lock


FROM ${BASE}
# The official images ship the standard library without bytecode. A user who cannot write it would have Python compile it
# anew at each start.
RUN python -m compileall -q --invalidation-mode unchecked-hash /usr/local/lib/python3.*/
COPY --from=build /app/.venv /app/.venv
# So that `kubectl exec … -- ssh-session-gc --version` finds it.
ENV PATH=/app/.venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, because Kubernetes' runAsNonRoot cannot judge a name. It owns nothing.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/app/.venv/bin/ssh-session-gc"]
CMD ["run"]
# Last, since the revision differs each time.
ARG REVISION=""
LABEL org.opencontainers.image.title="ssh-session-gc" \
      org.opencontainers.image.description="Deletes ContainerSSH session Pods that have lost their owner, and only those" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
