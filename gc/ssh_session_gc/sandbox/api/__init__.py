"""The API server: keeps the cluster's objects and serves them over HTTP, as kube-apiserver does.

    server                            routes a request: who it is from, what it is for, whether it is allowed
      nonresource handlers watches    answer it, and so does logs
        request responses             take it in, and word the answer
        list patch watch stream tables  a part of Kubernetes' API each
      faults strikes                  break it on request
    storage                           the objects; in-process, too
      strategy defaults names         what the server decides of a new object or a change
      keyspace history                what etcd keeps
    objects refusals listeners        words that all of them use

Runs nothing: objects change only when somebody writes them, to the store or through the API.
"""
