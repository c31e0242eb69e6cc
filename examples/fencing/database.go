package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL
	_ "modernc.org/sqlite"             // SQLite, without cgo
)

// errOvertaken reports that somebody with a larger token has been there.
var errOvertaken = errors.New("refused: a later holder has been here")

// A database is what the lock protects: a table of balances.
type database struct {
	*sql.DB
	name  string
	table string
}

// connectTimeout is for a PostgreSQL that does not answer.
const connectTimeout = 5 * time.Second

// openDatabase makes a table of a name of its own, so that nothing of anybody
// else's is touched.
func openDatabase(ctx context.Context, dsn string) (_ *database, err error) {
	db := &database{name: "SQLite, in memory", table: "redlock_fencing_" + strings.ToLower(rand.Text()[:8])}
	if dsn == "" {
		if db.DB, err = sql.Open("sqlite", ":memory:"); err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1) // each connection would have a database of its own
	} else {
		db.name = "PostgreSQL"
		if db.DB, err = sql.Open("pgx", dsn); err != nil {
			return nil, fmt.Errorf("-dsn: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := db.exec(ctx, `CREATE TABLE balance (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL, fence BIGINT NOT NULL DEFAULT 0)`); err != nil {
		return nil, errors.Join(fmt.Errorf("-dsn: %w", err), db.Close())
	}
	return db, nil
}

func (db *database) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	return errors.Join(db.exec(ctx, `DROP TABLE balance`), db.Close())
}

// statement puts the table's name of this run into a statement.
func (db *database) statement(query string) string {
	return strings.Replace(query, "balance", db.table, 1)
}

func (db *database) exec(ctx context.Context, query string, args ...any) error {
	_, err := db.ExecContext(ctx, db.statement(query), args...)
	return err
}

func (db *database) open(ctx context.Context, account, amount int) error {
	return db.exec(ctx, `INSERT INTO balance (id, amount) VALUES ($1, $2)`, account, amount)
}

func (db *database) read(ctx context.Context, account int) (amount int, err error) {
	err = db.QueryRowContext(ctx, db.statement(`SELECT amount FROM balance WHERE id = $1`), account).Scan(&amount)
	return amount, err
}

func (db *database) write(ctx context.Context, account, amount int) error {
	return db.exec(ctx, `UPDATE balance SET amount = $1 WHERE id = $2`, amount, account)
}

// readFenced leaves the token with the row, so that whoever came before is turned
// away from now on. If that happened with the write only, the write of an earlier
// holder could still come between this read and that write.
func (db *database) readFenced(ctx context.Context, account int, token int64) (amount int, err error) {
	const query = `UPDATE balance SET fence = $1 WHERE id = $2 AND fence <= $1 RETURNING amount`
	err = db.QueryRowContext(ctx, db.statement(query), token, account).Scan(&amount)
	if errors.Is(err, sql.ErrNoRows) {
		err = errOvertaken
	}
	return amount, err
}

func (db *database) writeFenced(ctx context.Context, account, amount int, token int64) error {
	const query = `UPDATE balance SET amount = $1, fence = $2 WHERE id = $3 AND fence <= $2`
	result, err := db.ExecContext(ctx, db.statement(query), amount, token, account)
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows == 1 {
		return err
	}
	return errOvertaken
}
