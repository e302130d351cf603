-- See functions/put.sql.
CALL narrowboat.put(%(queue)s, %(task)s, %(lane_key)s, %(id)s, %(args)s, %(priority)s, %(client)s, %(headers)s, %(tags)s,
                    %(summary)s, %(shape)s, %(version)s, %(now)s, %(channel)s, NULL, NULL)
